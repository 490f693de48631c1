"""A minimal server for FlashRank: `python -m benchmarks.serving.flashrank_app FOLDER PORT`."""

import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.speed.peers import flashrank


def main(folder: str, port: str) -> None:
    """Serve TEI's `/rerank`."""
    score = flashrank("onnx", "fp32", Path(folder))

    async def rerank(request: Request) -> JSONResponse:
        body = await request.json()
        scores = await run_in_threadpool(score, body["query"], body["texts"])
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return JSONResponse([{"index": index, "score": scores[index]} for index in order])

    app = Starlette(routes=[Route("/rerank", rerank, methods=["POST"])])
    uvicorn.run(app, port=int(port), log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
