"""Results of a scene: JSON and back."""

import json

from pnp.landscapes.results import FormAgreement, ModelCheck, SceneResult
from pnp.landscapes.statistics import LandscapeNumbers, NeighbourAgreement


def test_a_result_is_the_same_after_json() -> None:
    numbers = LandscapeNumbers((8.0, 1.0), (2.0, 0.5), 0.9, (0.8, 0.7), 0.6, 0.5, 0.4, 0.3, 24)
    result = SceneResult(
        synthesizer={"name": "chirp"},
        features={"JTFS": {}},
        target={"f_m": 8.49, "gamma": 1.49},
        parameters=[{"name": "f_m"}, {"name": "gamma"}],
        steps=40,
        claims={"JTFS": {"no shift": numbers}},
        model=ModelCheck(8, 0.1, 0.98, 3, 0.25, 1.0),
        pnp=FormAgreement({"+f_m": 0.125}, 0.125, [[1.0]], [NeighbourAgreement(2, 0.21, 1.25, 0.001, 0.75)]),
    )
    written = json.loads(json.dumps(result.to_dict()))
    assert written["claims"]["JTFS"]["no shift"]["minimum_at_target"] is False
    assert SceneResult.from_dict(written) == result
