"""Filters: functions of whole arrays, which can also be mapped over tiles."""
