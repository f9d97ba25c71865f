"""The bodies of answers, as /openapi.json describes them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

BandName = Literal["high", "medium", "low"]


class Problem(BaseModel):
    """What was wrong, where, and what to do."""

    status: int = Field(examples=[422])
    kind: Literal["upload", "query", "missing", "busy", "key", "server"]
    sentence: str = Field(examples=["k is 0; give a whole number from 1 to 1000."])


class Failure(BaseModel):
    """The body of every error."""

    error: Problem


class ModelOut(BaseModel):
    """A model that can be asked."""

    name: str = Field(examples=["resnet_tiny"])
    run_id: str | None
    run_name: str | None
    run_url: str | None = Field(description="The run in the MLflow UI.")
    items: int
    dimension: int
    takes_images: bool
    takes_texts: bool
    explains: bool
    image_size: int | None = Field(description="Side of the model's pictures, pixels.")
    newest: bool = Field(description="Whether a newer run of this model takes its place by itself.")
    bands: dict[str, Any] = Field(
        description="For image, text and mixed queries: where the bands begin (cosine)."
    )
    where: dict[str, list[str]] = Field(
        description="Columns of texts to filter by, with their values where these are at most 200."
    )
    numbers: dict[str, tuple[float, float]] = Field(
        description="Columns of numbers to filter by, with their least and largest."
    )
    index_written: str | None
    catalogue: str | None


class LimitsOut(BaseModel):
    """What one request may hold."""

    bytes: int
    pixels: int
    types: list[str]
    k: int
    models: int
    pictures: int


class ModelsOut(BaseModel):
    models: list[ModelOut]
    limits: LimitsOut
    needs_key: bool
    version: str


class ItemOut(BaseModel):
    """An item of the catalogue."""

    item_id: str
    category: str | None
    product: str | None
    caption: str | None
    image: str = Field(description="Address of the picture, JPEG, at most 1280 pixels a side.")
    thumbnail: str


class ListedOut(ItemOut):
    split: str | None


class ItemsOut(BaseModel):
    total: int
    items: list[ListedOut]


class OneItemOut(ItemOut):
    captions: list[str]
    columns: dict[str, Any] = Field(description="All that the index says of it.")


class ResultOut(ItemOut):
    """An item found."""

    rank: int
    score: float = Field(description="The cosine as a percentage, negative ones 0.", ge=0, le=100)
    cosine: float
    band: BandName
    duplicate_of: str | None = Field(
        description="A better result that shows almost the same picture, with fold."
    )
    models: dict[str, Any] = Field(description="Of each model: rank, cosine and band.")


class SearchOut(BaseModel):
    model: str = Field(description="The model, or several joined by +.")
    models: list[str]
    runs: dict[str, str | None]
    modality: Literal["image", "text", "mixed"]
    seconds: dict[str, float] = Field(description="Of each stage, and in total.")
    count: int
    results: list[ResultOut]


class GridOut(BaseModel):
    """How much each place agrees, 0 to 1, on the picture's white square: rows from the top."""

    rows: int
    columns: int
    values: list[list[float]]


class RebuiltOut(BaseModel):
    """Pictures as the model rebuilds them from their embeddings, PNG data addresses."""

    query: str | None
    item: str | None


class ExplainOut(BaseModel):
    model: str
    item_id: str
    kind: str
    means: str
    query: GridOut | None
    item: GridOut
    reconstructions: RebuiltOut | None


class KeyIn(BaseModel):
    key: str = Field(max_length=1000)


_TERMS = {
    "type": "array",
    "minItems": 1,
    "maxItems": 32,
    "items": {
        "type": "object",
        "description": "One of image, text and item; a weight below 0 means: not like this.",
        "additionalProperties": False,
        "properties": {
            "image": {"type": "string", "enum": ["image", "image2", "image3", "image4"]},
            "text": {"type": "string", "minLength": 1, "maxLength": 2000},
            "item": {"type": "string"},
            "weight": {"type": "number", "default": 1},
        },
    },
}
QUERY: dict[str, Any] = {
    "type": "object",
    "required": ["terms"],
    "additionalProperties": False,
    "properties": {
        "terms": _TERMS,
        "where": {"type": "object", "description": "Conditions on columns, all of which must hold."},
        "k": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
        "models": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Several are fused; none: the first.",
        },
        "fusion": {"type": "string", "enum": ["rrf", "scores"]},
        "weights": {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
        "expand": {"type": "integer", "minimum": 0, "maximum": 100},
        "rerank": {"type": "boolean"},
        "keep_items": {"type": "boolean"},
        "fold": {
            "type": "boolean",
            "description": "Mark results that show almost the same picture as a better one.",
        },
    },
}
EXPLAIN: dict[str, Any] = {
    **QUERY,
    "required": ["terms", "item"],
    "properties": {
        **QUERY["properties"],
        "item": {"type": "string", "description": "The result to look at."},
    },
}
_EXAMPLES = {
    "like an item, but not like another": {
        "value": {"terms": [{"item": "10078"}, {"item": "10081", "weight": -0.5}], "k": 5}
    },
    "words and a filter": {
        "value": {"terms": [{"text": "red shoe"}], "where": {"category": ["boot", "pump"]}}
    },
}


def request_body(schema: dict[str, Any]) -> dict[str, Any]:
    """How OpenAPI describes the two forms of a request."""
    extra = {"item": {"type": "string"}} if schema is EXPLAIN else {}
    form = {
        "type": "object",
        "properties": {
            "image": {"type": "string", "format": "binary", "description": "A photograph."},
            "model": {"type": "string"},
            "k": {"type": "integer", "minimum": 1, "maximum": 100},
            "query": {
                "type": "string",
                "contentMediaType": "application/json",
                "description": "A query in JSON, whose image terms name the form's files.",
            },
            **extra,
        },
        "description": "At least an image or a query.",
    }
    content = {
        "application/json": {"schema": schema, "examples": _EXAMPLES},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}
