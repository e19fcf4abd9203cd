"""Stripe: event objects, signed with the endpoint's secret (``whsec_…``, used as it is written, prefix included).

``Stripe-Signature`` holds a time and one signature for each secret that is valid; the receiver refuses what is older than 5 min.
Deliveries come in any order and more than once; a failed one is tried again for three days, with a new time and signature and the
same event id. Kinds are the event types: ``charge.succeeded``, ``invoice.paid`` …; v2 events are thin (``v2.core.event``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import orjson

from chaosbot.core.journey import DeliveryRules
from chaosbot.core.kit import GONE
from chaosbot.core.platform import EPOCH
from chaosbot.core.verdict import Threat
from chaosbot.platforms._signatures import STYLES, Style
from chaosbot.platforms._transport import BodyCodec, Places, Transport, indented
from chaosbot.platforms._webhook import GENUINE, Odd, Webhook

_PRETTY: Final = Transport(BodyCodec("application/json; charset=utf-8", indented, orjson.loads))


def event(
    kind: str, thing: Mapping[str, Any], /, before: Mapping[str, Any] | None = None, **members: Any
) -> dict[str, Any]:
    """An event about an object, with the values that it had before where it was updated."""
    data: dict[str, Any] = {"object": dict(thing)} | ({"previous_attributes": dict(before)} if before else {})
    return {
        "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": EPOCH,
        "data": data,
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": "req_Ab12Cd34Ef56Gh", "idempotency_key": "7f9d2a64-1c3e-4a0b-9d55-0e8f6b2c7a11"},
        "type": kind,
    } | members


_CHARGE: Final = {
    "id": "ch_3NG8Du2eZvKYlo2C1kXv0aBc",
    "object": "charge",
    "amount": 2000,
    "amount_refunded": 0,
    "currency": "usd",
    "customer": "cus_NffrFeUfNV2Hib",
    "description": "A plan",
    "metadata": {"order_id": "6735"},
    "paid": True,
    "receipt_url": "https://pay.stripe.com/receipts/payment/CAcaFwoVYWNjdF8xTkc4",
    "payment_intent": "pi_3NG8Du2eZvKYlo2C1dEf4gHi",
    "refunded": False,
    "status": "succeeded",
}
_INTENT: Final = {
    "id": "pi_3NG8Du2eZvKYlo2C1dEf4gHi",
    "object": "payment_intent",
    "amount": 2000,
    "amount_received": 2000,
    "currency": "usd",
    "customer": "cus_NffrFeUfNV2Hib",
    "description": "A plan",
    "last_payment_error": None,
    "latest_charge": "ch_3NG8Du2eZvKYlo2C1kXv0aBc",
    "metadata": {"order_id": "6735"},
    "status": "succeeded",
}
_CUSTOMER: Final = {
    "id": "cus_NffrFeUfNV2Hib",
    "object": "customer",
    "created": EPOCH,
    "email": "ada@example.com",
    "name": "Ada",
    "description": "A customer",
    "metadata": {},
}
_PLAN: Final = {
    "id": "price_1NG8Du2eZvKYlo2CjKlMnOpQ",
    "object": "price",
    "currency": "usd",
    "product": "prod_NffrFeUfNV2Hib",
    "recurring": {"interval": "month", "interval_count": 1},
    "unit_amount": 2000,
}
_SUBSCRIPTION: Final = {
    "id": "sub_1NG8Du2eZvKYlo2CrStUvWxY",
    "object": "subscription",
    "cancel_at_period_end": False,
    "customer": "cus_NffrFeUfNV2Hib",
    "description": "A plan",
    "items": {
        "object": "list",
        "data": [{"id": "si_NffrFeUfNV2Hib", "object": "subscription_item", "price": _PLAN, "quantity": 1}],
    },
    "metadata": {"plan": "pro"},
    "status": "active",
}
_INVOICE: Final = {
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1NG8Du2eZvKYlo2C/live_YWNj",
    "invoice_pdf": "https://pay.stripe.com/invoice/acct_1NG8Du2eZvKYlo2C/live_YWNj/pdf",
    "id": "in_1NG8Du2eZvKYlo2CaBcDeFgH",
    "object": "invoice",
    "amount_due": 2000,
    "amount_paid": 2000,
    "billing_reason": "subscription_cycle",
    "currency": "usd",
    "customer": "cus_NffrFeUfNV2Hib",
    "description": "A plan",
    "lines": {
        "object": "list",
        "data": [{"id": "il_1NG8Du2e", "object": "line_item", "amount": 2000, "description": "Seat", "quantity": 1}],
    },
    "status": "paid",
}
_SESSION: Final = {
    "id": "cs_live_a1B2c3D4e5F6g7H8i9J0",
    "object": "checkout.session",
    "amount_total": 2000,
    "client_reference_id": "user-4711",
    "currency": "usd",
    "customer": "cus_NffrFeUfNV2Hib",
    "metadata": {"plan": "pro"},
    "mode": "payment",
    "payment_status": "paid",
    "status": "complete",
}
_DISPUTE: Final = {
    "id": "du_1NG8Du2eZvKYlo2CiJkLmNoP",
    "object": "dispute",
    "amount": 2000,
    "charge": "ch_3NG8Du2eZvKYlo2C1kXv0aBc",
    "currency": "usd",
    "reason": "fraudulent",
    "status": "needs_response",
}
_DECLINED: Final = {"code": "card_declined", "message": "Your card was declined.", "type": "card_error"}


def _payloads() -> dict[str, Any]:
    simple = {
        "charge.succeeded": _CHARGE,
        "charge.failed": _CHARGE | {"paid": False, "status": "failed", "failure_code": "card_declined"},
        "charge.dispute.created": _DISPUTE,
        "payment_intent.created": _INTENT | {"status": "requires_payment_method", "amount_received": 0},
        "payment_intent.succeeded": _INTENT,
        "payment_intent.payment_failed": _INTENT
        | {"status": "requires_payment_method", "last_payment_error": _DECLINED},
        "checkout.session.completed": _SESSION,
        "checkout.session.expired": _SESSION | {"status": "expired", "payment_status": "unpaid"},
        "customer.created": _CUSTOMER | {"name": "Zoë Müller", "description": "né en août ✓"},
        "customer.deleted": _CUSTOMER | {"email": None},
        "customer.subscription.created": _SUBSCRIPTION,
        "customer.subscription.deleted": _SUBSCRIPTION | {"status": "canceled"},
        "customer.subscription.trial_will_end": _SUBSCRIPTION | {"status": "trialing"},
        "invoice.created": _INVOICE | {"status": "draft", "amount_paid": 0},
        "invoice.paid": _INVOICE,
        "invoice.payment_failed": _INVOICE | {"status": "open", "amount_paid": 0},
        "payout.paid": {
            "id": "po_1NG8Du2eZvKYlo2C",
            "object": "payout",
            "amount": 9000,
            "currency": "usd",
            "status": "paid",
        },
        "account.updated": {
            "id": "acct_1NG8Du2eZvKYlo2C",
            "object": "account",
            "charges_enabled": True,
            "country": "US",
        },
    }
    thin = {
        "id": "evt_test_65R9Ijk8dKEYZcXeRWn16R9A7j1FSQ3w",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error_report_triggered",
        "livemode": True,
        "created": "2026-01-01T00:00:00.000Z",
        "related_object": {
            "id": "mtr_test_61RCjiqdTDC91zgip41",
            "type": "billing.meter",
            "url": "/v1/billing/meters/mtr_1",
        },
    }
    refunded = _CHARGE | {"refunded": True, "amount_refunded": 2000}
    renewed = _SUBSCRIPTION | {"status": "past_due"}
    return {kind: event(kind, thing) for kind, thing in simple.items()} | {
        "charge.refunded": event("charge.refunded", refunded, {"refunded": False, "amount_refunded": 0}),
        "customer.updated": event("customer.updated", _CUSTOMER | {"name": "Ada L."}, {"name": "Ada"}),
        "customer.subscription.updated": event("customer.subscription.updated", renewed, {"status": "active"}),
        "charge.succeeded/connect": event("charge.succeeded", _CHARGE, account="acct_1NG8Du2eZvKYlo2C"),
        "charge.succeeded/test": event("charge.succeeded", _CHARGE, livemode=False),
        "v2.core.event": thin,
    }


@dataclass(frozen=True)
class Stripe(Webhook):
    """Stripe's event objects."""

    default_path: ClassVar[str] = "/stripe/webhook"
    signed_with: ClassVar[str] = "the endpoint's signing secret, which begins with whsec_"
    api_mock: ClassVar[str] = "stripe"
    usual: ClassVar[str] = "charge.succeeded"
    style: ClassVar[Style] = STYLES["stripe"]
    places: ClassVar[Places] = Places(
        delivery=("id",),
        chat=("data.object.customer",),
        user=("data.object.customer",),
        tenant=("account",),
        text=("data.object.description", "data.object.metadata.order_id"),
        own=("data.object.id", "request.id", "request.idempotency_key"),
    )
    flows: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "payment": ("payment_intent.created", "payment_intent.succeeded", "charge.succeeded"),
        "subscription": (
            "customer.created",
            "customer.subscription.created",
            "invoice.paid",
            "customer.subscription.deleted",
        ),
    }
    acting: ClassVar[tuple[str, ...]] = ("checkout.session.completed", "invoice.paid", "customer.subscription.deleted")
    rules: ClassVar[DeliveryRules] = DeliveryRules(
        answer_wait_s=20.0, base_s=60.0, cap_s=(4 * 3600.0, 8 * 3600.0), expiry_s=3 * 86_400.0
    )

    def payloads(self) -> Mapping[str, Any]:
        """Events of payments, subscriptions, customers and disputes."""
        return _payloads()

    def transport(self, kind: str) -> Transport:
        """Indented JSON, so that a receiver that writes the body anew before it verifies fails."""
        del kind
        return _PRETTY

    def kind_in(self, headers: Mapping[str, str], payload: Any) -> str:
        """The event's type; thin events are one kind."""
        del headers
        if not isinstance(payload, dict):
            return ""
        kind = payload.get("object" if payload.get("object") == "v2.core.event" else "type")
        return kind if isinstance(kind, str) else ""

    def again(self, request: bytes, secret: str, attempt: int, reason: str, later_s: int) -> bytes:
        """The same event with a new time and signature."""
        del attempt, reason
        return self.resigned(secret, request, request, later_s) or request

    def odd(self) -> tuple[Odd, ...]:
        """Order, tenants, objects that are none of the type, amounts, authority in metadata."""
        paid, sub = "charge.succeeded", "customer.subscription.updated"
        return (
            Odd(
                "order/deleted-first",
                "customer.subscription.deleted",
                "a subscription that was never created ends",
                **GENUINE,
            ),
            Odd("order/update-unknown", sub, "an update of a subscription that nobody knows", **GENUINE),
            Odd("order/old", paid, "an event of a year ago, delivered now", {"created": EPOCH - 365 * 86_400}),
            Odd("type/unsubscribed", paid, "a type that is not subscribed", {"type": "chaos.event.created"}, **GENUINE),
            Odd(
                "type/other-object",
                paid,
                "an object of another type than the event's",
                {"data.object.object": "customer"},
            ),
            Odd("type/object-missing", paid, "an event without its object", {"data.object": GONE}),
            Odd("type/data-null", paid, "data is null", {"data": None}),
            Odd("type/id-null", paid, "an event without id", {"id": None}),
            Odd("type/list", paid, "a signed list", body=b"[]", threat=Threat.NETWORK),
            Odd("type/null", paid, "a signed null", body=b"null", threat=Threat.NETWORK),
            Odd(
                "tenant/other",
                paid,
                "an event of an account that is not connected",
                {"account": "acct_0CHAOSBOTNOBODY0"},
            ),
            Odd("tenant/test-mode", paid, "a test event at a live endpoint", {"livemode": False}),
            Odd("tenant/customer-null", paid, "a charge of nobody", {"data.object.customer": None}, **GENUINE),
            Odd(
                "tenant/customer-object",
                paid,
                "a customer that is expanded",
                {"data.object.customer": {"id": "cus_NffrFeUfNV2Hib", "object": "customer"}},
            ),
            Odd("amount/negative", paid, "an amount below nothing", {"data.object.amount": -1}),
            Odd("amount/zero", paid, "an amount of nothing", {"data.object.amount": 0}, **GENUINE),
            Odd("amount/yen", paid, "a currency without cents", {"data.object.currency": "jpy"}, **GENUINE),
            Odd("amount/huge", paid, "an amount beyond 53 bits", {"data.object.amount": 2**53 + 1}),
            Odd("metadata/absent", paid, "no metadata at all", {"data.object.metadata": GONE}),
            Odd(
                "metadata/empty",
                paid,
                "metadata without the members that were set",
                {"data.object.metadata": {}},
                **GENUINE,
            ),
            Odd(
                "metadata/authority",
                paid,
                "a role in the metadata",
                {"data.object.metadata": {"role": "admin", "order_id": "1"}},
            ),
        )


__all__ = ["Stripe", "event"]
