"""Folders of pictures, each a plane of one volume."""
