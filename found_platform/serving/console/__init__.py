from starlette.responses import Response


def mount(app): ...
def problem_page(request, problem):
    return Response(problem.detail, problem.status)
