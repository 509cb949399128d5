"""The programs that versions run: their inputs as `openapi_schema`, and what they need."""

from __future__ import annotations

from typing import Any

_CHAT: dict[str, dict[str, Any]] = {
    "prompt": {
        "type": "string",
        "title": "Prompt",
        "default": "",
        "description": "Prompt to send to the model.",
    },
    "system_prompt": {
        "type": "string",
        "title": "System Prompt",
        "default": "You are a helpful assistant.",
        "description": "System prompt to send to the model.",
    },
    "min_tokens": {"type": "integer", "title": "Min Tokens", "default": 0, "minimum": 0},
    "max_tokens": {"type": "integer", "title": "Max Tokens", "default": 512, "minimum": 1, "maximum": 8192},
    "temperature": {"type": "number", "title": "Temperature", "default": 0.6, "minimum": 0, "maximum": 5},
    "top_p": {"type": "number", "title": "Top P", "default": 0.9, "minimum": 0, "maximum": 1},
    "top_k": {"type": "integer", "title": "Top K", "default": 50, "minimum": -1},
    "presence_penalty": {"type": "number", "title": "Presence Penalty", "default": 0},
    "frequency_penalty": {"type": "number", "title": "Frequency Penalty", "default": 0},
    "stop_sequences": {"type": "string", "title": "Stop Sequences", "default": ""},
    "prompt_template": {"type": "string", "title": "Prompt Template", "default": ""},
    "seed": {"type": "integer", "title": "Seed", "description": "Random seed. Leave blank to randomize."},
}

_INPUTS: dict[str, tuple[dict[str, dict[str, Any]], tuple[str, ...]]] = {
    "llm": (_CHAT, ("prompt",)),
    "importer": (_CHAT, ("prompt",)),
    "weights_llm": (
        {
            **{k: _CHAT[k] for k in ("prompt", "system_prompt", "temperature", "top_p", "top_k", "seed")},
            "max_new_tokens": {"type": "integer", "title": "Max New Tokens", "default": 128, "minimum": 1},
            "replicate_weights": {
                "type": "string",
                "title": "Replicate Weights",
                "description": "Path to fine-tuned weights produced by a Replicate fine-tune job.",
            },
        },
        ("prompt",),
    ),
    "image": (
        {
            "prompt": {"type": "string", "title": "Prompt"},
            "hf_lora": {
                "type": "string",
                "title": "Hf Lora",
                "description": "Huggingface path, or URL to the LoRA weights.",
            },
            "lora_scale": {
                "type": "number",
                "title": "Lora Scale",
                "default": 0.8,
                "minimum": 0,
                "maximum": 1,
            },
            "num_outputs": {
                "type": "integer",
                "title": "Num Outputs",
                "default": 1,
                "minimum": 1,
                "maximum": 4,
            },
            "output_format": {
                "type": "string",
                "title": "output_format",
                "enum": ["webp", "jpg", "png"],
                "default": "webp",
            },
            "seed": {"type": "integer", "title": "Seed"},
        },
        ("prompt",),
    ),
}

TRAINING_INPUT: dict[str, dict[str, Any]] = {
    "hf_model_id": {"type": "string", "title": "Hf Model Id", "description": "Hugging Face model to import."},
    "hf_model_sha": {"type": "string", "title": "Hf Model Sha"},
    "hf_token": {"type": "string", "title": "Hf Token", "format": "password", "x-cog-secret": True},
    "allow_patterns": {"type": "string", "title": "Allow Patterns"},
    "ignore_patterns": {"type": "string", "title": "Ignore Patterns", "default": "*.gguf"},
}
TRAINING_REQUIRED = ("hf_model_id",)


def streams(kind: str) -> bool:
    """Whether the output comes in pieces."""
    return kind != "image"


def input_of(kind: str) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Properties and required names of the input."""
    return _INPUTS[kind]


def openapi_schema(kind: str) -> dict[str, Any]:
    """The schema as Cog publishes it."""
    properties, required = _INPUTS[kind]
    ordered = {name: {**spec, "x-order": number} for number, (name, spec) in enumerate(properties.items())}
    output: dict[str, Any]
    if streams(kind):
        output = {
            "type": "array",
            "title": "Output",
            "items": {"type": "string"},
            "x-cog-array-type": "iterator",
            "x-cog-array-display": "concatenate",
        }
    else:
        output = {"type": "array", "title": "Output", "items": {"type": "string", "format": "uri"}}
    found: dict[str, Any] = {
        "Input": {"type": "object", "title": "Input", "properties": ordered, "required": list(required)},
        "Output": output,
        "Status": {"enum": ["starting", "processing", "succeeded", "canceled", "failed"], "type": "string"},
    }
    paths: dict[str, Any] = {
        "/predictions": {
            "post": {
                "summary": "Predict",
                "operationId": "predict_predictions_post",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Input"}}}
                },
                "responses": {"200": {"description": "Successful Response"}},
            }
        }
    }
    if kind == "importer":
        found["TrainingInput"] = {
            "type": "object",
            "title": "TrainingInput",
            "properties": TRAINING_INPUT,
            "required": list(TRAINING_REQUIRED),
        }
        found["TrainingOutput"] = {
            "type": "object",
            "properties": {"weights": {"type": "string", "format": "uri"}},
        }
        paths["/trainings"] = {"post": {"summary": "Train", "responses": {"200": {"description": "OK"}}}}
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": paths,
        "components": {"schemas": found},
    }
