"""Writes chaosbot/platforms/github/events.json from the JSON Schema of GitHub's webhooks (npm package @octokit/webhooks-schemas).

Every event gets a payload of its required members, with plain values; what several share stands once, under ``shared``.

    python tests/support/github_events.py package/schema.json > chaosbot/platforms/github/events.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

SCHEMA: Final = json.loads(Path(sys.argv[1]).read_text("utf-8"))
DEFINITIONS: Final = SCHEMA["definitions"]
SHARED: Final = {
    "user", "repository", "organization", "issue", "pull-request", "issue-comment", "installation", "installation-lite", "app",
    "team", "label", "milestone", "commit", "committer", "release", "repository-lite", "license", "github-org", "repo-ref",
    "check-run", "check-suite", "deployment", "workflow", "workflow-run", "project", "discussion", "reactions", "package-npm-metadata",
    "simple-pull-request", "membership", "workflow-job", "marketplace-purchase", "sponsorship-tier", "alert-instance", "commit-simple",
}  # fmt: skip
ACTIONS: Final = {
    "issue_comment": ("created", "edited", "deleted"),
    "issues": ("opened", "edited", "closed", "labeled"),
    "pull_request": ("opened", "synchronize", "closed", "labeled"),
    "pull_request_review": ("submitted",),
    "installation": ("created", "deleted"),
    "release": ("published",),
    "check_run": ("completed", "requested_action"),
    "check_suite": ("requested", "completed"),
    "workflow_run": ("completed",),
    "workflow_job": ("queued", "completed"),
    "repository": ("created", "privatized"),
    "member": ("added",),
    "discussion": ("created",),
    "deployment_status": ("created",),
}
TEXTS: Final = {
    "login": "octocat", "name": "octo-repo", "full_name": "octocat/octo-repo", "title": "Spelling error in the README",
    "body": "I think the example is wrong.", "message": "Fix a typo", "ref": "refs/heads/main", "default_branch": "main",
    "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "after": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
    "sha": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "head_sha": "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c",
    "id": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "tree_id": "f9d2a07e9488b91af2641b26b9407fe22a451433",
    "email": "octocat@example.com", "username": "octocat", "color": "ee0701", "node_id": "MDQ6VXNlcjIxMDMxMDY3",
    "slug": "octo-app", "key": "mit", "spdx_id": "MIT", "zen": "Keep it logically awesome.", "tag_name": "v1.0.0",
    "base_ref": "main", "head_branch": "main", "avatar_url": "https://avatars.githubusercontent.com/u/583231?v=4",
    "author_association": "CONTRIBUTOR", "state": "open", "path": "README.md", "gravatar_id": "", "visibility": "public",
}  # fmt: skip
NULLS: Final = {
    "performed_via_github_app", "closed_at", "closed_by", "milestone", "assignee", "deleted_at", "suspended_at", "license", "language",
    "mirror_url", "homepage", "merged_at", "merged_by", "merge_commit_sha", "auto_merge", "active_lock_reason", "base_ref",
}  # fmt: skip
NUMBERS: Final = {"number": 1347, "id": 583231, "hook_id": 30, "comments": 1, "size": 108}


def of(schema: dict[str, Any], name: str, depth: int, shared: dict[str, Any]) -> Any:
    """A value of a schema; `name` is the member's."""
    if "$ref" in schema:
        definition = schema["$ref"].rpartition("/")[2]
        if definition not in SHARED:
            return of(DEFINITIONS[definition], name, depth + 1, shared)
        if definition not in shared:
            shared[definition] = None
            shared[definition] = of(DEFINITIONS[definition], definition, depth + 1, shared)
        return {"$": definition}
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        preferred = TEXTS.get(name)
        return preferred if preferred in schema["enum"] else schema["enum"][0]
    if "allOf" in schema:
        made = {}
        for one in schema["allOf"]:
            value = of(one, name, depth, shared)
            if isinstance(value, dict) and "$" in value:
                value = shared[value["$"]] or {}
            made |= value if isinstance(value, dict) else {}
        if "$" in str(schema["allOf"][0].get("$ref", "")) or len(schema["allOf"]) == 2:
            base = of(schema["allOf"][0], name, depth, shared)
            if isinstance(base, dict) and "$" in base and shared[base["$"]]:
                return base | {key: value for key, value in made.items() if shared[base["$"]].get(key, ...) != value}
        return made
    if name in NULLS and ("null" in (schema.get("type") or ()) or '"null"' in json.dumps(schema.get("oneOf", ()))):
        return None
    for word in ("oneOf", "anyOf"):
        if word in schema:
            rest = [one for one in schema[word] if one.get("type") != "null"]
            return of(rest[0], name, depth, shared)
    kind = schema.get("type")
    kind = next((one for one in kind if one != "null"), "null") if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        wanted = schema.get("required", ())
        return {
            key: of(inner, key, depth + 1, shared)
            for key, inner in schema.get("properties", {}).items()
            if key in wanted or "const" in str(inner) or inner.get("enum") == [True]
        }
    if kind == "array" and schema.get("maxItems") == 0:
        return []
    if kind == "array":
        items = schema.get("items")
        items = items[0] if isinstance(items, list) else items
        return [of(items, name.removesuffix("s"), depth + 1, shared)] if isinstance(items, dict) and depth < 5 else []
    if kind in {"integer", "number"}:
        return (
            schema["maximum"]
            if "maximum" in schema
            else NUMBERS.get(name, 2 if name.endswith(("s", "count")) else 7_001_347)
        )
    if kind == "boolean":
        return False
    if kind == "string":
        if name in TEXTS:
            return TEXTS[name]
        if schema.get("format") == "date-time" or name.endswith("_at"):
            return "2026-01-01T00:00:00Z"
        if name in {"html_url", "url"} or name.endswith("_url") or "format" in schema:
            return f"https://api.github.com/{name.removesuffix('_url')}/1347"
        return f"a {name.replace('_', ' ')}"
    return None


def main() -> None:
    shared: dict[str, Any] = {}
    events: dict[str, Any] = {}
    for one in SCHEMA["oneOf"]:
        definition = DEFINITIONS[one["$ref"].rpartition("/")[2]]
        event = one["$ref"].rpartition("/")[2].removesuffix("_event").partition("$")[0]
        choices = definition.get("oneOf") or [one]
        wanted = ACTIONS.get(event)
        if wanted:
            choices = sorted(
                choices,
                key=lambda choice: [*wanted, choice["$ref"].partition("$")[2]].index(choice["$ref"].rpartition("$")[2]),
            )
        for choice in choices:
            named = choice["$ref"].rpartition("/")[2]
            action = named.partition("$")[2]
            if wanted and action not in wanted:
                continue
            name = event if event not in events else f"{event}/{action}"
            events[name] = of(DEFINITIONS[named], event, 0, shared)
            if not wanted:
                break
    parts = []
    for title, table in (("shared", shared), ("events", events)):
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(table[key], sort_keys=True)}" for key in sorted(table))
        parts.append(f'"{title}": {{\n{lines}\n}}')
    sys.stdout.write("{" + ",\n".join(parts) + "}\n")


main()
