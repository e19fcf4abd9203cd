"""GitHub: all 66 events of repositories, organisations and apps, signed with the hook's secret (HMAC-SHA256 of the body, no time).

Kinds are the events as ``X-GitHub-Event`` names them (``issue_comment``, ``push``, ``ping`` …), variants their actions
(``issues/closed``). GitHub waits 10 s for a 2xx, never delivers again by itself, and promises no order. Events come as JSON, or with
``form=true`` as a form with one field ``payload``. How much a sender may do stands nowhere in a payload but in ``author_association``,
which is GitHub's word on comments, issues and pull requests only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson

from chaosbot.core.case import Expect, Reach
from chaosbot.core.journey import DeliveryRules
from chaosbot.core.kit import GONE, there
from chaosbot.core.registry import option
from chaosbot.core.verdict import Threat
from chaosbot.platforms._signatures import STYLES, Style
from chaosbot.platforms._transport import PAYLOAD, Places, Transport
from chaosbot.platforms._trust import Claim, Rights
from chaosbot.platforms._webhook import GENUINE, Odd, Webhook

_WEIGHTY: Final = (
    "installation/deleted",
    "organization",
    "marketplace_purchase",
    "github_app_authorization",
    "repository",
    "member",
    "membership",
    "release",
    "deployment",
    "workflow_run",
    "pull_request/closed",
    "push",
)
_TIERS: Final = ("NONE", "FIRST_TIME_CONTRIBUTOR", "CONTRIBUTOR", "COLLABORATOR", "MEMBER", "OWNER")


@cache
def _payloads() -> dict[str, Any]:
    """The golden payloads; ``{"$": NAME, …}`` in the file stands for a shared object with some members changed."""
    data = orjson.loads((Path(__file__).parent / "events.json").read_bytes())
    shared = data["shared"]

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        own = {name: resolved(item) for name, item in value.items() if name != "$"}
        return resolved(shared[value["$"]]) | own if "$" in value else own

    events: dict[str, Any] = resolved(data["events"])
    # Who acts is not who owns the repository.
    person = resolved(shared["user"]) | {"login": "monalisa", "id": 7_654_321}
    owner = shared["user"]["login"]
    for event in events.values():
        for holder, member in ((event, "sender"), (event.get("comment"), "user"), (event.get("review"), "user")):
            if isinstance(holder, dict) and there(holder, f"{member}.login") == owner and "url" in holder[member]:
                holder[member] = person
    ping = events["ping"] | {"repository": resolved(shared["repository"]), "sender": resolved(shared["user"])}
    return events | {"ping": ping}


def payload(name: str, /, **members: Any) -> dict[str, Any]:
    """A golden payload (``issue_comment``, ``issues/closed``) with other members."""
    return dict(_payloads()[name]) | members


@dataclass(frozen=True)
class GitHub(Webhook):
    """GitHub's webhooks."""

    default_path: ClassVar[str] = "/github/webhook"
    signed_with: ClassVar[str] = "the Secret of the webhook (Settings, Webhooks) or of the app"
    api_mock: ClassVar[str] = "github"
    usual: ClassVar[str] = "issue_comment"
    style: ClassVar[Style] = STYLES["github"]
    places: ClassVar[Places] = Places(
        chat=("issue.number", "pull_request.number", "discussion.number"),
        user=("sender.login",),
        tenant=("installation.id", "organization.login", "repository.owner.login", "repository.full_name"),
        text=(
            "comment.body",
            "review.body",
            "issue.title",
            "pull_request.title",
            "head_commit.message",
            "release.name",
            "zen",
        ),
        message=("comment.id", "review.id"),
        own=("comment.id", "review.id", "issue.id", "pull_request.id", "after", "head_commit.id"),
    )
    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "issue": ("issues", "issues/labeled", "issue_comment", "issues/closed"),
        "change": ("pull_request", "pull_request/labeled", "pull_request/synchronize", "pull_request/closed"),
    }
    acting: ClassVar[tuple[str, ...]] = ("issues", "pull_request", "push")
    weighty: ClassVar[tuple[str, ...]] = _WEIGHTY
    anywhere: ClassVar[tuple[str, ...]] = ("installation", "organization", "repository", "sender")
    rights: ClassVar[tuple[Rights, ...]] = (
        Rights(
            "issue_comment",
            {"comment.body": "{text}", "action": "created"},
            {"comment.author_association": "OWNER", "issue.author_association": "OWNER"},
            {"comment.author_association": "NONE", "issue.author_association": "NONE"},
            (
                Claim("issue-author", "a stranger's command below an owner's issue", {"issue.author_association": "OWNER"}),
                Claim("absent", "a command of somebody without association", {"comment.author_association": GONE}),
                Claim("null", "a command of somebody whose association is null", {"comment.author_association": None}),
                Claim("bot", "a command of another app", {"comment.user.type": "Bot", "sender.type": "Bot"}),
                Claim("owner-edits", "a stranger's command that an admin edited", {"action": "edited", "sender.login": "{admin}"}),
                Claim("name", "a command of somebody who has the admin's name as theirs", {"comment.user.name": "{name}", "sender.name": "{name}"}),
            ),
        ),
    )  # fmt: skip
    rules: ClassVar[DeliveryRules] = DeliveryRules(answer_wait_s=10.0, retries=False)

    form: bool = option("flag", "send events as forms with one field payload", False)

    def payloads(self) -> Mapping[str, Any]:
        """All events."""
        return _payloads()

    def transport(self, kind: str) -> Transport:
        """JSON, or a form where that was asked for."""
        return Transport(PAYLOAD) if self.form else super().transport(kind)

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """The event's header; without one, the event with the most members in common."""
        if headers.get("x-github-event"):
            return headers["x-github-event"]
        members = payload.keys() if isinstance(payload, dict) else ()
        near = min(self.known, key=lambda name: len(self.known[name].keys() ^ members)) if members else ""
        return near.partition("/")[0]

    def odd(self) -> tuple[Odd, ...]:
        """Headers against bodies, accounts, ghosts, deleted things, loops, names as text for shells."""
        comment, push, pull = "issue_comment", "push", "pull_request"
        mismatch: dict[str, Any] = {"threat": Threat.NETWORK, "check": "no_server_error"}
        nobody = Expect(frozenset({400, 401, 403, 404, 415, 422}), reach=Reach.NONE)
        bot = {"login": "octo-app[bot]", "id": 7_001_347, "type": "Bot"}
        name = "$(id);`id`|id"
        zero = "0" * 40
        return (
            Odd("handshake/ping-unsigned", "ping", "a ping without signature", sign="none", threat=Threat.FORGER, check="forged_refused", expect=nobody),
            Odd("event/header-other", comment, "the header says push, the body is a comment", headers={"X-GitHub-Event": "push"}, **mismatch),
            Odd("event/header-unknown", comment, "an event that nobody knows", headers={"X-GitHub-Event": "chaos_event"}, **GENUINE),
            Odd("event/header-missing", comment, "no X-GitHub-Event", headers={"X-GitHub-Event": None}, **mismatch),
            Odd("event/header-path", comment, "the event is a path upwards", headers={"X-GitHub-Event": "../../ping"}, **mismatch),
            Odd("event/header-proto", comment, "the event is __proto__", headers={"X-GitHub-Event": "__proto__"}, **mismatch),
            Odd("event/delivery-missing", comment, "no X-GitHub-Delivery", headers={"X-GitHub-Delivery": None}, **mismatch),
            Odd("event/action-unknown", comment, "an action that nobody knows", {"action": "chaos"}, **GENUINE),
            Odd("event/action-missing", comment, "an event without action", {"action": GONE}),
            Odd("tenant/installation-other", comment, "the installation of another account", {"installation": {"id": 999_999_001, "node_id": "x"}}),
            Odd("tenant/repository-other", comment, "a repository of somebody else", {"repository.full_name": "evil/octo-repo", "repository.owner.login": "evil"}),
            Odd("tenant/repository-null", comment, "no repository", {"repository": None}),
            Odd("ghost/sender", comment, "a comment of a deleted account", {"comment.user": None}, **GENUINE),
            Odd("ghost/author", pull, "a pull request of a deleted account", {"pull_request.user": None}, **GENUINE),
            Odd("ghost/fork", pull, "a pull request from a deleted fork", {"pull_request.head.repo": None}, **GENUINE),
            Odd("ghost/body-null", "issues", "an issue without text", {"issue.body": None}, **GENUINE),
            Odd("ghost/comment-empty", comment, "a comment without text", {"comment.body": ""}, **GENUINE),
            Odd("loop/own", comment, "a comment of the app itself", {"sender": bot, "comment.user": bot}, **GENUINE),
            Odd("push/deleted", push, "a branch is deleted", {"deleted": True, "head_commit": None, "commits": [], "after": zero}, **GENUINE),
            Odd("push/created", push, "a branch is made", {"created": True, "before": zero, "commits": []}, **GENUINE),
            Odd("push/tag", push, "a tag is pushed", {"ref": "refs/tags/v1.0.0", "base_ref": "refs/heads/main"}, **GENUINE),
            Odd("push/many", push, "2048 commits", {"commits": [{"id": zero, "message": "x", "added": [], "removed": [], "modified": []}] * 2048}),
            Odd("text/ref-upwards", push, "a tag that is a path upwards", {"ref": "refs/tags/../../x"}),
            Odd("text/branch-shell", pull, "a branch that is a shell command", {"pull_request.head.ref": name}, **GENUINE),
            Odd("text/title-template", "issues", "a title that is a template", {"issue.title": "${{ github.token }} {{7*7}}"}, **GENUINE),
            *(
                Odd(f"association/{one.lower()}", comment, f"a command of somebody whose association is {one}", {"comment.author_association": one, "comment.body": "/deploy"}, **GENUINE)
                for one in _TIERS
            ),
            Odd("association/absent", comment, "a command of somebody without association", {"comment.author_association": GONE, "comment.body": "/deploy"}),
            Odd("type/list", comment, "a signed list", body=b"[]", threat=Threat.NETWORK),
            Odd("type/null", comment, "a signed null", body=b"null", threat=Threat.NETWORK),
            Odd("type/text", comment, "a JSON body said to be text", headers={"Content-Type": "text/plain"}, threat=Threat.NETWORK),
            Odd("type/form-twice", comment, "two payloads in a form", body=b"payload=%7B%7D&payload=%7B%7D", headers={"Content-Type": "application/x-www-form-urlencoded"}, threat=Threat.NETWORK),
        )  # fmt: skip


__all__ = ["GitHub", "payload"]
