"""The HTTP side of the service: addresses, bodies, errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from lens.errors import LensError
from lens.serve import schemas
from lens.serve.asking import Asked, read_asked
from lens.serve.guards import COOKIE, same_key
from lens.serve.problems import BadPicture, Missing, Overloaded, Refused, problem
from lens.serve.service import Service

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Failure, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        403: "It comes from a page of another site.",
        401: "The key is missing or wrong.",
        404: "There is no such model or item.",
        408: "The upload took too long.",
        413: "The request is too large.",
        422: "The query or the picture cannot be used.",
        429: "Too many requests at once; try again after Retry-After seconds.",
        503: "The service is too busy to answer in time.",
    }.items()
}
Model = Annotated[
    str | None, Query(description="A model's name; none: the first that holds the item.", max_length=300)
]


def api(service: Service, key: str | None) -> APIRouter:
    """The routes below /api."""
    router = APIRouter(prefix="/api", responses=_ERRORS)

    async def answered(request: Request, work: Callable[[Asked], Any]) -> Any:
        body, kind = await request.body(), request.headers.get("content-type", "")
        return await run_in_threadpool(lambda: work(read_asked(kind, body, service.limits)))

    @router.get("/models", response_model=schemas.ModelsOut, summary="The models that can be asked")
    def models(
        run: Annotated[str | None, Query(max_length=300, description="Open this run too.")] = None,
    ) -> Any:
        return service.models(run)

    @router.post(
        "/search",
        response_model=schemas.SearchOut,
        summary="The items nearest to a query",
        openapi_extra=schemas.request_body(schemas.QUERY),
    )
    async def search(request: Request) -> Any:
        return await answered(request, service.search)

    @router.post(
        "/explain",
        response_model=schemas.ExplainOut,
        summary="Which parts of a query's picture and of an item agree",
        openapi_extra=schemas.request_body(schemas.EXPLAIN),
    )
    async def explain(request: Request) -> Any:
        return await answered(request, service.explain)

    @router.get("/items", response_model=schemas.ItemsOut, summary="The catalogue, page by page")
    def items(
        model: Model = None,
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        limit: Annotated[int, Query(ge=1, le=service.limits.page)] = 60,
        category: Annotated[str | None, Query(max_length=1000)] = None,
        text: Annotated[
            str | None, Query(max_length=1000, description="In the id, product or captions.")
        ] = None,
    ) -> Any:
        return service.items(model, offset, limit, category, text)

    @router.get(
        "/items/{item_id:path}", response_model=schemas.OneItemOut, summary="All that is known of an item"
    )
    def item(item_id: str, model: Model = None) -> Any:
        return service.item(model, item_id)

    jpeg: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}}

    @router.get(
        "/images/{item_id:path}", response_class=Response, responses=jpeg, summary="An item's picture"
    )
    def image(item_id: str, model: Model = None) -> Response:
        return _picture(service.jpeg(model, item_id, thumbnail=False))

    @router.get(
        "/thumbnails/{item_id:path}", response_class=Response, responses=jpeg, summary="The same, small"
    )
    def thumbnail(item_id: str, model: Model = None) -> Response:
        return _picture(service.jpeg(model, item_id, thumbnail=True))

    @router.post("/key", status_code=204, summary="Show the key once; a cookie stands for it from then on")
    def show_key(given: schemas.KeyIn) -> Response:
        if key is not None and not same_key(given.key, key):
            raise Refused(401, "key", "This is not the key of the service.")
        answer = Response(status_code=204)
        if key is not None:
            answer.set_cookie(COOKIE, key, httponly=True, samesite="strict", max_age=30 * 24 * 3600)
        return answer

    return router


class PageFiles(StaticFiles):
    """The files of the page: asked for again each time, and answered 304 where they are the same."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        """As Starlette's."""
        answer = super().file_response(*given, **named)
        answer.headers["cache-control"] = "no-cache"
        return answer


def add_page(app: FastAPI) -> None:
    """The page at /, and its files below /static."""
    files = PageFiles(directory=Path(__file__).with_name("page"))
    app.mount("/static", files)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)


def add_errors(app: FastAPI) -> None:
    """Every error as `{"error": {status, kind, sentence}}`."""

    @app.exception_handler(LensError)
    async def mistake(_: Request, error: LensError) -> JSONResponse:
        if isinstance(error, Overloaded):
            return _problem(503, "busy", str(error), {"retry-after": "2"})
        if isinstance(error, Missing):
            return _problem(404, "missing", str(error))
        return _problem(422, "upload" if isinstance(error, BadPicture) else "query", str(error))

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.body, error.status, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "The request"
        return _problem(422, "query", f"{where}: {first['msg']}.")

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        sentences = {
            404: f"There is nothing at {request.url.path[:200]}.",
            405: f"{request.method} is not what {request.url.path[:200]} takes.",
        }
        sentence = sentences.get(error.status_code, f"{error.detail}.")
        return _problem(
            error.status_code, "missing" if error.status_code == 404 else "query", sentence, error.headers
        )


def _problem(status: int, kind: str, sentence: str, headers: Any = None) -> JSONResponse:
    return JSONResponse(problem(status, kind, sentence), status, headers)


def _picture(jpeg: bytes) -> Response:
    return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=300"})
