"""Where senders of signed webhooks publish their keys: a JSON Web Key Set, OpenID's metadata, public keys in PEM, a certificate.

The keys are those that belong to the secret by which deliveries are signed, one pair for each algorithm, so a target that is told to fetch
its keys here accepts chaosbot's deliveries, and a fault plan in front of it is an issuer that is slow or away.

| path | document | for |
|---|---|---|
| ``/jwks.json`` and every other path | the key set | libraries for JWT, Google's ``certs_url`` |
| ``/.well-known/openid-configuration`` | ``issuer`` and ``jwks_uri`` | Bot Framework, OpenID |
| ``/rsa.pem``, ``/ecdsa.pem``, ``/ed25519.pem`` | one public key | SendGrid, libraries of one's own |
| ``/certificate.pem`` | a certificate of the RSA key, signed by itself | SNS's ``SigningCertURL`` |
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import ClassVar, Final

from chaosbot.core.errors import ConfigError
from chaosbot.core.mock import Headers, Mock, MockAnswer, MockApi, MockRequest, MockServices
from chaosbot.core.registry import option
from chaosbot.platforms import _keys

_JSON: Final = "application/json"
_PEM: Final = "application/x-pem-file"
_ISSUER: Final = "https://webhooks.chaosbot.example"


@dataclass(frozen=True)
class Keys(Mock):
    """An issuer's public keys."""

    speaks: ClassVar[bool] = False

    secret_env: str = option("text", "the environment variable of the secret by which deliveries are signed", "")
    second_env: str = option(
        "text",
        "that of a second secret, which is valid as well; its keys are in the set, too",
        "CHAOSBOT_SECOND_SECRET",
    )
    issuer: str = option("text", "what OpenID's metadata say the issuer is", _ISSUER)

    def __post_init__(self) -> None:
        """Refuses a secret that is not there, before a process starts that needs it."""
        if not self.secret_env:
            raise ConfigError("secret_env", "names no variable; write for example mock:keys;secret_env=HOOK_SECRET")
        if not os.environ.get(self.secret_env):
            raise ConfigError("secret_env", f"{self.secret_env} is not set; export the secret that signs deliveries")

    def api(self, services: MockServices) -> MockApi:
        """The documents, which are the same in every process."""
        del services
        return KeysApi(os.environ[self.secret_env], os.environ.get(self.second_env, ""), self.issuer)

    def hints(self, url: str) -> tuple[str, ...]:
        """Where a target finds its keys."""
        return (f"key set: {url}/jwks.json", f"certificate: {url}/certificate.pem")


class KeysApi(MockApi):
    """The documents of one secret.

    Args:
        secret: The secret.
        second: One whose keys are in the set as well; empty for none.
        issuer: Who the metadata say they are of.
    """

    def __init__(self, secret: str, second: str, issuer: str) -> None:
        self._issuer = issuer
        names = [name for name in _keys.ASYMMETRIC if name in _keys.JWT_NAMES and not _keys.unfit(secret, name)]
        self._set = json.dumps(_keys.key_set(*filter(None, (secret, second)))).encode()
        self._files = {f"/{name}.pem": _keys.pem(secret, name) for name in names}
        self._files |= {"/certificate.pem": _keys.certificate(secret)} if "rsa" in names else {}

    def answer(self, request: MockRequest) -> MockAnswer:
        """The document at this path."""
        path = request.path.partition("?")[0]
        if request.method not in ("GET", "HEAD"):
            return self.refusal(405, "keys are read by GET")
        if path in self._files:
            return _document(_PEM, self._files[path])
        if path.endswith("openid-configuration"):
            host = next((value for name, value in request.headers if name.lower() == "host"), "127.0.0.1")
            about = {"issuer": self._issuer, "jwks_uri": f"http://{host}/jwks.json"}
            return _document(_JSON, json.dumps(about).encode())
        return _document(_JSON, self._set)


def _document(kind: str, body: bytes) -> MockAnswer:
    headers: Headers = (("content-type", kind), ("cache-control", "public, max-age=0"))
    return MockAnswer.of(200, headers, body)
