"""Examples for OpenAPI, one for every body and answer. Plain data."""

from __future__ import annotations

from typing import Any

from service.api.example_scenario import SCENARIO

JOB_ID = "0199a1c2-6f0e-7c31-9b52-4f6f2f0c9a10"
POLICY_ID = "0199a1c9-11d4-7a05-8f7c-0d8e2b7f5c44"
DIGEST = "5f0c6f8a6d9fd8c1d7a5b0c4e2f19a3b8c7d6e5f4a3b2c1d0e9f8a7b6c5d4e3f"

HOSPITAL_JOB: dict[str, Any] = {
    "environment": {"kind": "hospital", "scenario": "rural_hospital"},
    "grouping": {"kind": "attribute", "attributes": ["age_group"]},
    "algorithm": {"group_robustness_weight": 0.5},
    "budget": {"total_timesteps": 2_000_000},
    "seed": 1,
    "evaluation": {"episodes": 64},
}
CARTPOLE_JOB: dict[str, Any] = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {
        "kind": "threshold",
        "feature": 0,
        "edges": [0.0],
        "labels": ["left", "right"],
        "when": "reset",
    },
    "algorithm": {"group_robustness_weight": 0.2},
    "budget": {"total_timesteps": 100_000},
    "seed": 1,
}
INLINE_JOB: dict[str, Any] = {
    "environment": {"kind": "hospital", "scenario": SCENARIO},
    "grouping": {"kind": "attribute", "attributes": ["district"]},
    "budget": {"total_timesteps": 1_000_000},
    "seed": 1,
}
VARIANTS_JOB: dict[str, Any] = {
    "environment": {"kind": "gymnasium", "id": "CartPole-v1"},
    "grouping": {
        "kind": "product",
        "of": [
            {
                "kind": "variant",
                "variants": [
                    {"label": "short pole", "options": {"length": 0.25}},
                    {"label": "long pole", "options": {"length": 1.5}},
                ],
            },
            {"kind": "norm", "edges": [0.06], "labels": ["near upright", "further off"]},
        ],
    },
    "algorithm": {"group_robustness_weight": 0.5},
    "budget": {"total_timesteps": 100_000},
    "seed": 1,
}
SUBMISSIONS = {
    "hospital": {"summary": "A hospital, robust over age groups", "value": HOSPITAL_JOB},
    "cartpole": {"summary": "A Gymnasium environment, grouped by start", "value": CARTPOLE_JOB},
    "inline": {"summary": "A hospital of your own", "value": INLINE_JOB},
    "variants": {"summary": "Groups by pole and start, combined", "value": VARIANTS_JOB},
}
JOB_URLS = {
    "self": f"/jobs/{JOB_ID}",
    "cancel": f"/jobs/{JOB_ID}/cancel",
    "events": f"/jobs/{JOB_ID}/events",
    "stream": f"/jobs/{JOB_ID}/stream",
    "logs": f"/jobs/{JOB_ID}/logs",
    "metrics": f"/jobs/{JOB_ID}/metrics",
    "fairness": f"/jobs/{JOB_ID}/fairness",
    "policy": f"/policy/{JOB_ID}",
    "act": f"/policy/{JOB_ID}/act",
}
JOB: dict[str, Any] = {
    "id": JOB_ID,
    "status": "running",
    "reason": None,
    "detail": "",
    "created_at": "2026-11-22T14:05:00.120Z",
    "started_at": "2026-11-22T14:05:00.480Z",
    "finished_at": None,
    "attempts": [
        {
            "n": 1,
            "worker": "host-1:4711",
            "started_at": "2026-11-22T14:05:00.480Z",
            "ended_at": None,
            "end_reason": None,
            "detail": "",
        }
    ],
    "progress": {
        "phase": "training",
        "timesteps": 589_824,
        "total_timesteps": 2_000_000,
        "fraction": 0.295,
        "steps_per_second": 118_400.0,
        "seconds_left": 11.9,
    },
    "policy_id": None,
    "reproducible": True,
    "config": HOSPITAL_JOB,
    "urls": JOB_URLS,
}
JOB_LIST: dict[str, Any] = {"data": [JOB], "has_more": False, "next": None}
ITERATION: dict[str, Any] = {
    "iteration": 18,
    "timesteps": 589_824,
    "seconds": 4.98,
    "steps_per_second": 118_400.0,
    "mean_return": -3.91,
    "group_returns": {"pediatric": -4.6, "adult": -3.9, "elderly": -3.2},
    "group_weights": {"pediatric": 0.71, "adult": 0.21, "elderly": 0.08},
    "worst_group_return": -4.6,
    "return_gap": 1.4,
    "objective": -4.26,
    "policy_loss": -0.0021,
    "value_loss": 0.33,
    "entropy": 0.58,
    "approx_kl": 0.004,
    "clip_fraction": 0.06,
    "explained_variance": 0.62,
    "episodes": 0,
}
METRICS: dict[str, Any] = {
    "job_id": JOB_ID,
    "status": "running",
    "data": [ITERATION],
    "next_after": 18,
    "has_more": False,
}
FAIRNESS: dict[str, Any] = {
    "job_id": JOB_ID,
    "status": "running",
    "final": False,
    "latest": ITERATION,
    "report": None,
}
POLICY_SUMMARY: dict[str, Any] = {
    "id": POLICY_ID,
    "job_id": JOB_ID,
    "digest": DIGEST,
    "num_bytes": 61_480,
    "kind": "hospital",
    "environment": "rural_hospital",
    "created_at": "2026-11-22T14:05:41.000Z",
    "urls": {
        "self": f"/policy/{POLICY_ID}",
        "act": f"/policy/{POLICY_ID}/act",
        "model": f"/policy/{POLICY_ID}/model",
        "job": f"/jobs/{JOB_ID}",
    },
}
POLICY_LIST: dict[str, Any] = {"data": [POLICY_SUMMARY], "has_more": False, "next": None}
POLICY_DETAIL: dict[str, Any] = POLICY_SUMMARY | {
    "manifest": {"kind": "hospital", "served": "network", "config": HOSPITAL_JOB},
    "report": {"arms": ["policy", "fcfs", "strict_acuity"]},
}
READINESS: dict[str, Any] = {
    "ready": False,
    "checks": {"database": "ok", "kernels": "still loading"},
}
ENVIRONMENTS: dict[str, Any] = {
    "data": [
        {
            "id": "CartPole-v1",
            "kind": "gymnasium",
            "title": "Balance a pole on a cart",
            "observation_size": 4,
            "num_actions": 2,
            "grouping": "threshold",
            "groupings": ["threshold", "norm", "variant", "product"],
            "scenario": None,
            "options": [{"name": "length", "low": 0.05, "high": 5.0, "default": 0.5}],
        }
    ]
}
SNAPSHOT: dict[str, Any] = {
    "time": "2026-11-22T14:05:00+01:00",
    "resources": [
        {"pool": "ed_space", "capacity": 6, "free": 1},
        {"pool": "nurse_unit", "capacity": 12, "free": 3},
        {"pool": "ward_bed", "capacity": 12, "free": 1},
        {"pool": "swing_bed", "capacity": 4, "free": 4},
        {"pool": "transfer_crew", "capacity": 2, "free": 2},
    ],
    "patients": [
        {
            "id": "a91",
            "stage": "ed",
            "acuity": 3,
            "predicted_stay_band": "short",
            "age": 71,
            "arrived": "2026-11-22T13:20:00+01:00",
        },
        {
            "id": "c12",
            "stage": "ed",
            "acuity": 2,
            "predicted_stay_band": "long",
            "groups": {"age_group": "pediatric"},
            "waiting_minutes": 7.5,
        },
        {
            "id": "b07",
            "stage": "ward",
            "acuity": 3,
            "waiting_minutes": 40.0,
            "holds": {"ed_space": 1, "nurse_unit": 1},
        },
    ],
    "options": {"max_assignments": 2},
}
OBSERVATION: dict[str, Any] = {"observation": [0.01, -0.02, 0.03, 0.04]}
ACT_BODIES = {
    "hospital": {"summary": "A waiting room", "value": SNAPSHOT},
    "array": {"summary": "An observation", "value": OBSERVATION},
}
DECISION: dict[str, Any] = {
    "policy": POLICY_ID,
    "digest": DIGEST,
    "assignments": [
        {
            "patient": "c12",
            "class": "ed.2.long",
            "action": "ed.2.long",
            "rank": 1,
            "probability": 0.81,
            "needs": {"ed_space": 1, "nurse_unit": 2},
        }
    ],
    "ranking": [
        {
            "patient": "c12",
            "score": -0.21,
            "waiting_minutes": 7.5,
            "target_minutes": 10.0,
            "feasible": True,
        },
        {
            "patient": "a91",
            "score": -1.4,
            "waiting_minutes": 45.0,
            "target_minutes": 30.0,
            "feasible": True,
        },
    ],
    "choice": "most_likely",
    "stop": "nothing_fits",
    "hold": None,
    "probabilities": {"ed.2.long": 0.81, "ed.3.short": 0.17, "hold": 0.02},
    "warnings": [],
    "source": "network",
}
ACTION: dict[str, Any] = {
    "policy": POLICY_ID,
    "digest": DIGEST,
    "action": 1,
    "probabilities": [0.12, 0.88],
    "source": "network",
}
ANSWERS = {
    "hospital": {"summary": "To a waiting room", "value": DECISION},
    "array": {"summary": "To an observation", "value": ACTION},
}
