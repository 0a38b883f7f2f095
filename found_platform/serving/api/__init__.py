"""`/api/v1`: everything that the application layer can do, for programs. A module a noun, as in `app`."""

from fastapi import APIRouter

from found_platform.serving.api import audiences, lookups, platform, tokens, work
from found_platform.serving.api.answers import PROBLEMS

router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
for part in (lookups, audiences, platform, tokens, work):
    router.include_router(part.router)
