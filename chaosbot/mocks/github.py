"""GitHub's REST API: comments, reactions, labels, checks, statuses and tokens of installations; anything else is found and empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.mocks._described import DescribedMock, Description, Route

_REPO: Final = r"(/api/v3)?/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)"
_COMMENT: Final = {
    "id": "{id}",
    "html_url": "https://github.com/{owner}/{repo}/issues/{number}#issuecomment-{id}",
    "body": "",
}
API: Final = Description(
    (
        Route(
            rf"POST {_REPO}/issues/(?P<number>\d+)/comments",
            "issues.createComment",
            ("number",),
            ("body",),
            201,
            _COMMENT,
        ),
        Route(
            rf"PATCH {_REPO}/issues/comments/(?P<comment>\d+)",
            "issues.updateComment",
            ("comment",),
            ("body",),
            answer=_COMMENT,
        ),
        Route(
            rf"POST {_REPO}/pulls/(?P<number>\d+)/reviews",
            "pulls.createReview",
            ("number",),
            ("body",),
            answer={"id": "{id}"},
        ),
        Route(
            rf"PUT {_REPO}/pulls/(?P<number>\d+)/merge",
            "pulls.merge",
            ("number",),
            (),
            answer={"merged": True, "message": "merged"},
        ),
        Route(rf"(POST|PUT) {_REPO}/issues/(?P<number>\d+)/labels", "issues.addLabels", ("number",), (), answer=[]),
        Route(
            rf"PATCH {_REPO}/issues/(?P<number>\d+)",
            "issues.update",
            ("number",),
            ("title",),
            answer={"number": "{number}"},
        ),
        Route(rf"POST {_REPO}/issues", "issues.create", (), ("title", "body"), 201, {"id": "{id}", "number": "{id}"}),
        Route(
            rf"POST {_REPO}/(?P<what>check-runs|check-suites|deployments)",
            "{what}.create",
            ("head_sha",),
            ("name",),
            201,
            {"id": "{id}"},
        ),
        Route(
            rf"POST {_REPO}/statuses/(?P<sha>\w+)",
            "repos.createStatus",
            ("sha",),
            ("description",),
            201,
            {"id": "{id}"},
        ),
        Route(rf"POST {_REPO}/dispatches", "repos.dispatch", (), ("event_type",), 204, None),
        Route(
            r"POST (/api/v3)?/app/installations/(?P<installation>\d+)/access_tokens",
            "apps.createToken",
            status=201,
            answer={"token": "ghs_chaosbot", "expires_at": "2099-01-01T00:00:00Z", "permissions": {}},
        ),
        Route(r"GET (/api/v3)?/.*", "get", answer={"id": "{id}"}),
    ),
    {"id": 1},
    lambda _, reason: {"message": reason, "documentation_url": "https://docs.github.com/rest"},
)


@dataclass(frozen=True)
class GitHubApi(DescribedMock):
    """A mock of GitHub's REST API."""

    description: ClassVar[Description] = API

    def hints(self, url: str) -> tuple[str, ...]:
        """Where clients are told of it."""
        return (f'PyGithub: Github(base_url="{url}")', f'octokit: new Octokit({{ baseUrl: "{url}" }})')
