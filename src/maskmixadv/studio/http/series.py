"""Requests that add a DICOM series: the files of a folder, one after another in one body."""

from fastapi import APIRouter, Request
from fastapi.concurrency import contextmanager_in_threadpool
from starlette.concurrency import run_in_threadpool

from maskmixadv.files import cannot_write
from maskmixadv.studio.http.here import Here
from maskmixadv.studio.images.intake import check_part
from maskmixadv.studio.images.parcels import Parcels

CALLS = APIRouter()


@CALLS.put("/api/images/{name}/series")
async def _add_series(session: Here, name: str, request: Request) -> dict[str, str]:
    async with contextmanager_in_threadpool(session.cases.new_series(name)) as upload:
        parcels = Parcels(upload, check_part)
        try:
            async for part in request.stream():
                parcels.take(part)
        except OSError as error:
            raise cannot_write(upload, error) from None
        finally:
            parcels.close()
        parcels.end()
        return {"case": await run_in_threadpool(session.cases.take_series, upload, name)}
