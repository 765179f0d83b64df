"""`pnp match`: from a recording to parameters and a resynthesis."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pnp.cli.arguments import add_json, key_value, output_folder, positive
from pnp.cli.outcome import EXIT_FAILURES, EXIT_OK, as_json, say, tell
from pnp.cli.own import add_features, add_synthesizer, features_for, network_for, synthesizer_for

SUMMARY = "find synthesizer parameters that reproduce a recording, or each recording of a folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "sound",
        metavar="SOUND",
        help="sound file of any format that libsndfile reads, or a folder of them; run again to resume a folder",
    )
    parser.add_argument(
        "--cache",
        required=True,
        metavar="CACHE",
        help="cache of the synthesizer, with features (--store features or jacobian)",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        metavar="DIR",
        help="folder for sounds, a figure and JSON (NAME-match if not given); for a folder of recordings also "
        "table.csv and index.html, a page to listen to",
    )
    parser.add_argument(
        "--starts",
        type=positive,
        default=8,
        metavar="N",
        help="number of nearest sounds of the cache from which the search starts",
    )
    parser.add_argument(
        "--max-evaluations",
        type=positive,
        default=60,
        metavar="N",
        help="largest number of sounds made from one start",
    )
    parser.add_argument(
        "--condition",
        action="append",
        type=key_value,
        default=[],
        metavar="NAME=VALUE",
        help="value of a condition that you know, such as note=60; others are searched; may be given several times",
    )
    parser.add_argument(
        "--encoder",
        metavar="RUN",
        help="also start from the prediction of a network: a folder that `pnp train` wrote, or a network of your own, "
        "path/to/file.py:NAME",
    )
    parser.add_argument(
        "--noise",
        choices=("auto", "yes", "no"),
        default="auto",
        help="estimate a noise floor: always (yes), never (no), or where the recording seems to have one (auto)",
    )
    parser.add_argument(
        "--equalizer",
        action="store_true",
        help="estimate a gentle equalizer behind the synthesizer, for recordings of sounds that it cannot make",
    )
    parser.add_argument(
        "--features-only",
        action="store_true",
        help="search on the features alone, and not on coarse spectrograms first",
    )
    parser.add_argument(
        "--keep-level", action="store_true", help="compare samples as they are, without estimating the gain"
    )
    parser.add_argument(
        "--keep-onset",
        action="store_true",
        help="leave the recording where it begins, instead of aligning it with the synthesizer's sounds",
    )
    parser.add_argument("--allow-clipped", action="store_true", help="accept a clipped recording")
    add_synthesizer(parser)
    add_features(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Match a recording, or every recording of a folder."""
    if Path(options.sound).is_dir():
        return _run_folder(options)
    from pnp.matching.match import match
    from pnp.report.results import match_as_text
    from pnp.store import MetricCache

    network = network_for(options.encoder) if options.encoder else None
    with MetricCache(options.cache) as cache:
        synth = synthesizer_for(cache, options)
        result = match(
            options.sound,
            cache,
            synth=synth,
            features=features_for(cache, synth, options),
            encoder=network,
            conditions=dict(options.condition),
            allow_clipped=options.allow_clipped,
            progress=not options.quiet,
            **_search_options(options),
        )
    say(as_json(result.to_dict()) if options.json else match_as_text(result))
    for path in result.save(options.out or f"{Path(options.sound).stem}-match").values():
        tell(str(path))
    return EXIT_OK


def _run_folder(options: argparse.Namespace) -> int:
    from pnp.matching.catalogue import Catalogue
    from pnp.matching.folder import match_folder
    from pnp.matching.search import Search, known_conditions
    from pnp.report.html.matches import write_matches
    from pnp.report.results import matches_as_text
    from pnp.store import MetricCache

    out = Path(options.out or f"{Path(options.sound).resolve().name}-match")
    chosen = _search_options(options)
    network = network_for(options.encoder) if options.encoder else None
    with MetricCache(options.cache) as cache:
        synth = synthesizer_for(cache, options)
        catalogue = Catalogue.from_cache(cache, synth, features_for(cache, synth, options))
        known = known_conditions(synth.space, dict(options.condition))
        settings = {
            "cache": cache.fingerprint,
            "sounds": len(catalogue.rows),
            "encoder": options.encoder,
            **chosen,
        }
    search = Search(catalogue, network, known, **chosen)
    found = match_folder(
        options.sound,
        out,
        search,
        settings=settings,
        allow_clipped=options.allow_clipped,
        progress=not options.quiet,
    )
    page = write_matches(found, out / "index.html", cache=str(options.cache))
    say(as_json(found.to_dict()) if options.json else matches_as_text(found))
    for path in (found.table, page):
        tell(str(path))
    return EXIT_OK if found.matched else EXIT_FAILURES


def _search_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "starts": options.starts,
        "max_evaluations": options.max_evaluations,
        "fit_gain": not options.keep_level,
        "fit_noise": {"auto": None, "yes": True, "no": False}[options.noise],
        "align": not options.keep_onset,
        "equalize": options.equalizer,
        "coarse": not options.features_only,
    }
