"""Commands on objects that are no cube: catalogues, single spectra, band images; and gradients of a finished result."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sfh.config import name_settings
from napari_sfh.console import make_stderr_logger, print_message, print_progress
from napari_sfh.errors import SfhInputError

if TYPE_CHECKING:
    from napari_sfh.estimation.rows import BlockEstimator

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_object_parsers(commands: Subparsers) -> None:
    """Add ``estimate``, ``gradient``, ``compare``, ``smooth`` and ``refine``."""
    estimate = commands.add_parser("estimate", help="rows of a catalogue, or single spectra, to a table")
    estimate.add_argument("inputs", nargs="+", type=Path, metavar="TABLE|SPECTRUM", help="a catalogue, or spectra")
    estimate.add_argument("--model", default="jpas", metavar="NAME|FILE", help="weights (default %(default)s)")
    estimate.add_argument(
        "--columns", nargs="+", default=[], metavar="BAND=COLUMN", help="also BAND=COLUMN:UNIT,ERROR; ALL=VECTORS"
    )
    estimate.add_argument("--redshift", type=float, metavar="Z", help="of all objects (else the spectrum's own, or 0)")
    estimate.add_argument("--redshift-column", default="", metavar="COLUMN", help="of a catalogue")
    estimate.add_argument("--ebv-mw", type=float, default=0.0, metavar="E", help="Milky Way E(B-V), mag")
    estimate.add_argument(
        "--calibration-error",
        type=float,
        default=0.015,
        metavar="SHARE",
        help="of band fluxes, added to a catalogue's errors in quadrature; 0 where they hold it (default %(default)s)",
    )
    estimate.add_argument(
        "--sigma", dest="sigma_kms", type=float, metavar="KMS", help="stellar velocity dispersion of the spectra"
    )
    estimate.add_argument(
        "--lsf", metavar="FWHM|FILE", help="resolution of the spectra: FWHM in A, or a table by wavelength"
    )
    estimate.add_argument("--medium", default="auto", choices=["auto", "air", "vacuum"], help="of the wavelengths")
    estimate.add_argument(
        "--output", required=True, type=Path, metavar="OUT.fits|.ecsv|.csv|.vot", help="the table that is made"
    )
    estimate.add_argument("--scheduler", metavar="local|ADDRESS", help="a Dask scheduler for the rows of a catalogue")
    estimate.add_argument("--workers", type=int, metavar="N", help="processes of a local one (default 1)")
    _add_common_arguments(estimate)
    estimate.set_defaults(command=run_estimate_command)

    gradient = commands.add_parser("gradient", help="radial gradients of a result, with bootstrap errors")
    gradient.add_argument("result", type=Path, metavar="OUT.fits", help="a result file")
    gradient.add_argument("--centre", metavar="RA,DEC", help="degrees; the disc is guessed from the light unless given")
    gradient.add_argument("--pa", type=float, metavar="DEG", help="position angle of the disc, north through east")
    gradient.add_argument("--inclination", type=float, metavar="DEG", help="of the disc; 0 is face-on")
    gradient.add_argument("--re", type=float, metavar="ARCSEC", help="effective radius")
    gradient.add_argument("--r-max", type=float, default=1.0, metavar="RE", help="of the fit (default %(default)s R_e)")
    gradient.add_argument("--output", type=Path, metavar="OUT.ecsv|.csv|.fits", help="the table as a file")
    gradient.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    gradient.set_defaults(command=run_gradient_command)
    _add_compare_parser(commands)
    smooth = commands.add_parser("smooth", help="maps whose bins borrow strength from their neighbours")
    smooth.add_argument("result", type=Path, metavar="OUT.fits", help="a result file")
    smooth.add_argument("--output", required=True, type=Path, metavar="MAPS.fits", help="the maps that are made")
    smooth.add_argument("--quiet", action="store_true", help="nothing but the name of the file")
    smooth.set_defaults(command=run_smooth_command)
    _add_refine_parser(commands)


def _add_refine_parser(commands: Subparsers) -> None:
    refine = commands.add_parser(
        "refine",
        help="posteriors of some bins by likelihood, beside the network's",
        description="The forward model itself is sampled, with the network's prior, not from its answer: stars off the "
        "gas lines, a smooth calibration and the size of the errors free. Ten seconds of processor a bin, or more.",
    )
    refine.add_argument("result", type=Path, metavar="OUT.fits", help="a result file")
    which = refine.add_mutually_exclusive_group(required=True)
    which.add_argument("--bin", type=int, nargs="+", metavar="N", dest="bins", help="1..N")
    which.add_argument("--region", type=Path, metavar="FILE.reg", help="the bins inside regions of DS9")
    moves = "of each chain; up to four times as many until chains meet (default %(default)s)"
    refine.add_argument("--moves", type=int, default=64, help=moves)
    refine.add_argument("--order", type=int, default=12, help="of the calibration's polynomial (default %(default)s)")
    refine.add_argument(
        "--calibration", type=float, default=0.02, metavar="S", help="its expected scatter (default %(default)s)"
    )
    refine.add_argument("--output", type=Path, metavar="TABLE.ecsv|.csv|.fits", help="the table as a file")
    refine.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")
    refine.set_defaults(command=run_refine_command)


def _add_compare_parser(commands: Subparsers) -> None:
    compare = commands.add_parser(
        "compare",
        help="a result against DAP MAPS, GIST/nGIST or another run: maps, offsets, one table",
        description="The first file is a result, the others are answers for the same galaxy: MAPS of the DAP with "
        "ages, a folder or file of GIST/nGIST, another result, a mock's truth. With --others all files are results, "
        "each compared with the file that the pattern names for its galaxy.",
    )
    compare.add_argument(
        "files", nargs="+", type=Path, metavar="RESULT OTHER...", help="a result file, and what it is compared with"
    )
    compare.add_argument("--others", metavar="PATTERN", help="for instance 'maps/{name}_MAPS.fits'")
    compare.add_argument(
        "--min-snr", type=float, default=0.0, metavar="S", help="leave bins below it out of the offsets"
    )
    compare.add_argument("--no-gas", action="store_true", help="do not measure the emission lines")
    compare.add_argument("--output", type=Path, default=Path("comparison"), metavar="DIR", help="(default %(default)s)")
    compare.add_argument("--quiet", action="store_true", help="no notes")
    compare.set_defaults(command=run_compare_command)


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"], help="where it is computed")
    parser.add_argument("--quiet", action="store_true", help="no progress; notes and warnings stay")


def parse_band_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """``BAND=VALUE`` pairs of an option.

    Parameters
    ----------
    option : str
        For messages.
    pairs : sequence of str

    Returns
    -------
    dict of str to str
        Band to value.

    Raises
    ------
    SfhInputError
        A pair without ``=`` or without a value.
    """
    found = {}
    for pair in pairs:
        band, sign, value = pair.partition("=")
        if not sign or not value or not band:
            raise SfhInputError(f"{option} {pair}: write BAND=VALUE, for instance F275W={value or pair}")
        if band in found:
            raise SfhInputError(f"{option} {band} is given twice; give each band once")
        found[band] = value
    return found


def run_estimate_command(options: argparse.Namespace) -> int:
    """``napari-sfh estimate``."""
    make_stderr_logger(options.quiet)("estimate: loading the libraries")
    from napari_sfh.estimate import estimate_objects
    from napari_sfh.estimation.settings import EstimateConfig
    from napari_sfh.instruments.bundle_header import read_bundle_header
    from napari_sfh.io.outputs import check_table_output

    config = EstimateConfig(
        inputs=tuple(options.inputs),
        output=options.output,
        model=options.model,
        columns=parse_band_pairs("--columns", options.columns),
        redshift=options.redshift,
        redshift_column=options.redshift_column,
        ebv_mw=options.ebv_mw,
        calibration_error=options.calibration_error,
        sigma_kms=options.sigma_kms,
        lsf=options.lsf,
        medium=options.medium,
        device=options.device,
    )
    check_table_output(config.output, config.inputs)
    with print_progress(options.quiet) as progress:
        done = estimate_objects(config, _choose_block_estimator(options), progress)
    _print_notes(done.notes, options)
    refused = done.describe_refused(read_bundle_header(config.model).instrument)
    print(
        f"{done.n_estimated} of {done.n_rows} rows estimated{f' ({refused})' if refused else ''}, "
        f"{done.n_out_of_depth} unlike the training set, weights {config.model}: {done.path}"
    )
    return 0


def _choose_block_estimator(options: argparse.Namespace) -> BlockEstimator | None:
    """Where blocks of rows are estimated: on Dask workers where they are asked for."""
    if options.scheduler is None and options.workers is None:
        return None
    from napari_sfh.batch.many_rows import estimate_on_workers

    return partial(estimate_on_workers, scheduler=options.scheduler or "local", workers=options.workers)


def _print_notes(notes: Sequence[str], options: argparse.Namespace) -> None:
    for note in filter(None, notes):
        print_message(f"note: {name_settings(note, options.option_names)}")


def run_gradient_command(options: argparse.Namespace) -> int:
    """``napari-sfh gradient``."""
    from astropy.table import Table

    from napari_sfh.analysis import gradients
    from napari_sfh.io.results import read_result

    _check_table(options)
    result = read_result(options.result)
    disc = _choose_disc(result, options)
    settings = gradients.GradientFitSettings(r_max=options.r_max)
    use = gradients.select_trusted_bins(result)
    rows = []
    for quantity, (key, title, unit) in gradients.GRADIENT_QUANTITIES.items():
        if key not in result.prediction.quantiles:
            continue
        profile = gradients.build_radial_profile(result, disc, quantity)
        fitted = gradients.fit_gradient(profile, settings, use)
        sampled = gradients.fit_subsampled_gradient(profile, r_max=options.r_max, use=use)
        rows.append(
            {
                "QUANTITY": quantity,
                "UNIT": unit,
                "SLOPE": fitted.slope,
                "SLOPE_ERR": fitted.slope_error,
                "SLOPE_75": sampled[0],
                "SLOPE_75_ERR": sampled[1],
                "AT_RE": fitted.at_re,
                "AT_RE_ERR": fitted.at_re_error,
                "N_BINS": int(fitted.used.sum()),
            }
        )
        print(
            f"{title}: {fitted.slope:+.3f} +- {fitted.slope_error:.3f} {unit} per R_e (robust, bootstrap); "
            f"{sampled[0]:+.3f} +- {sampled[1]:.3f} (least squares, 100 times three quarters of the bins); "
            f"{int(fitted.used.sum())} bins within {options.r_max:g} R_e"
        )
    if not rows:
        raise SfhInputError(f"{options.result}: its weights predict none of {', '.join(gradients.GRADIENT_QUANTITIES)}")
    print(
        f"disc: centre {disc.ra_deg:.5f} {disc.dec_deg:.5f}, PA {disc.pa_deg:.0f} deg, inclination "
        f"{disc.inclination_deg:.0f} deg, R_e {disc.r_e_arcsec:.2f} arcsec"
    )
    if options.output:
        table = Table(rows)
        for name, words in _GRADIENT_WORDS.items():
            table[name].description = words
        _write_table(table, options.output, "GRADIENT")
    return 0


#: What the columns of the table of gradients hold.
_GRADIENT_WORDS: Mapping[str, str] = {
    "QUANTITY": "map whose gradient it is",
    "UNIT": "of the errors, and of slopes per effective radius; AT_RE is in that of the map",
    "SLOPE": "gradient per effective radius, robust fit",
    "SLOPE_ERR": "1 sigma of SLOPE, bootstrap",
    "SLOPE_75": "gradient per effective radius: mean of least squares on 100 samples of three quarters of the bins",
    "SLOPE_75_ERR": "standard deviation of SLOPE_75 among the samples",
    "AT_RE": "value of the fitted line at one effective radius",
    "AT_RE_ERR": "1 sigma of AT_RE, bootstrap",
    "N_BINS": "bins that were fitted",
}


def run_smooth_command(options: argparse.Namespace) -> int:
    """``napari-sfh smooth``."""
    from napari_sfh.analysis.spatial.field_maps import write_field_maps
    from napari_sfh.analysis.spatial.gaussian_field import smooth_result_maps
    from napari_sfh.io.outputs import check_table_output
    from napari_sfh.io.results import read_result
    from napari_sfh.physics.means import MEAN_NAMES
    from napari_sfh.physics.quantities import QUANTITIES

    check_table_output(options.output, [options.result])
    result = read_result(options.result)
    names = [k for k in MEAN_NAMES if k in result.prediction.scalars]
    if not names:
        raise SfhInputError(f"{options.result}: its weights predict none of {', '.join(MEAN_NAMES)}")
    smoothed = smooth_result_maps(result, names)
    for name, made in smoothed.items():
        field = made.field
        numbers = f"amplitude {field.amplitude:.2f} dex, length {field.length:.1f} spaxels"
        found = "no field: the map stays" if field.is_flat else f"{numbers}, errors times {field.error_factor:.2f}"
        if not options.quiet:
            print(f"{QUANTITIES[name].title}: {found}")
        for doubt in field.list_doubts():
            print_message(f"{QUANTITIES[name].title}: {doubt}")
    print(write_field_maps(result, smoothed, options.output))
    return 0


def run_refine_command(options: argparse.Namespace) -> int:
    """``napari-sfh refine``."""
    make_stderr_logger(options.quiet)("refine: loading the libraries")
    from napari_sfh.analysis.refinement.mode_sampling import SamplingSettings
    from napari_sfh.analysis.refinement.refining import RefinementSettings
    from napari_sfh.analysis.refinement.result_bins import (
        build_refinement_table,
        describe_refinement,
        list_region_bins,
        refine_result_bins,
    )
    from napari_sfh.io.results import read_result

    if not 0 <= options.order <= 40 or not 0 < options.calibration <= 0.5:
        raise SfhInputError("--order is 0 to 40, --calibration above 0 and at most 0.5")
    if not 24 <= options.moves <= 10_000:
        raise SfhInputError(f"--moves {options.moves}: 24 to 10000")
    _check_table(options)
    result = read_result(options.result)
    bins = options.bins or list_region_bins(result, options.region)
    sampling = SamplingSettings(moves=options.moves)
    settings = RefinementSettings(options.order, options.calibration, sampling=sampling)
    refined = []
    with print_progress(options.quiet) as progress:
        for one in refine_result_bins(result, bins, settings, progress):
            refined.append(one)
            print(name_settings(describe_refinement(result, one), options.option_names))
    if options.output:
        _write_table(build_refinement_table(result, refined), options.output, "REFINEMENT")
    return 0


def run_compare_command(options: argparse.Namespace) -> int:
    """``napari-sfh compare``."""
    from napari_sfh.batch import comparisons

    first, *others = options.files
    if options.others:
        pairs = comparisons.list_galaxy_pairs(options.files, options.others)
    elif others:
        pairs = [comparisons.GalaxyPair(first, tuple(others))]
    else:
        raise SfhInputError(f"{first}: nothing to compare it with; give another file, or --others")
    found, paths = comparisons.compare_galaxies(
        pairs, options.output, options.min_snr, not options.no_gas, lambda line: _print_notes([line], options)
    )
    head = ""
    for offset in found:
        title = f"{offset.galaxy} - {offset.other}" if offset.other else f"{offset.galaxy} galaxies"
        if title != head:
            print(f"{title}, {offset.n} bins:")
            head = title
        print(f"  {offset.format_line()}")
    print("\n".join(str(path) for path in paths))
    return 0


def _choose_disc(result: Any, options: argparse.Namespace) -> Any:
    """The disc that the light shows, with what the user says of it."""
    from dataclasses import replace

    from napari_sfh.analysis.disc import guess_disc

    disc = guess_disc(result.white, result.wcs)
    given = {"pa_deg": options.pa, "inclination_deg": options.inclination, "r_e_arcsec": options.re}
    if options.centre:
        try:
            given["ra_deg"], given["dec_deg"] = (float(x) for x in options.centre.split(","))
        except ValueError as error:
            raise SfhInputError(f"--centre {options.centre}: write RA,DEC in degrees") from error
    return replace(disc, **{key: value for key, value in given.items() if value is not None})


def _check_table(options: argparse.Namespace) -> None:
    """Refuse an output that is the result, or no table, before the work."""
    from napari_sfh.io.outputs import check_table_output

    if options.output:
        from napari_sfh.io.objects.writing import CatalogueWriter

        CatalogueWriter(options.output)  # its name
        check_table_output(options.output, [options.result])


def _write_table(table: Any, path: Path, name: str) -> None:
    from napari_sfh.io.objects.writing import CatalogueWriter

    with CatalogueWriter(path, name=name) as out:
        out.append(table)
    print(path)
