"""Shows bugs of the park directly: each function says whether the bug is seen in a conversation.

Only what a handful of deliveries can show stands here; leaks of memory and silent APIs need more time and are left to the campaign.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from chaosbot.mocks.telegram_api.mock import Script

from .talk import ADMIN, GROUP, OTHER, SECRET, TOKEN, USER, Talk

Show = Callable[[Talk], bool]
DEMONSTRATIONS: dict[tuple[str, str], Show] = {}


def shows(*bugs: str, scripts: tuple[Script, ...] = ()) -> Callable[[Show], Show]:
    """Registers a demonstration for these bugs, each as bot/bug."""

    def register(show: Show) -> Show:
        for bug in bugs:
            name, _, which = bug.partition("/")
            DEMONSTRATIONS[name, which] = show
        show.scripts = scripts  # type: ignore[attr-defined]
        return show

    return register


def number_in(text: str) -> str:
    """The number that a bot told; 0 when it told none."""
    return (re.findall(r"\d+", text) or ["0"])[0]


@shows(
    "recados/runs-twice", "ochered/repeats-run", "hava/repeats-run", "linki/repeats-run", "laden/no-memory-of-updates"
)
def a_redelivered_update_acts_again(talk: Talk) -> bool:
    update = talk.update("message", talk.message(USER, talk.bot.user))
    talk.post(update)
    talk.wait(lambda: talk.heard(USER))
    talk.post(update)
    talk.settled()
    return len(talk.heard(USER)) > 1


@shows(
    "recados/secret-optional",
    "hava/secret-optional",
    "ochered/secret-unchecked-without-header",
    "laden/empty-secret-passes",
)
def no_secret_passes(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, talk.bot.user)), secret=None)[0] == 200


@shows("hava/secret-any-case")
def another_case_passes(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, talk.bot.user)), secret=SECRET.upper())[0] == 200


@shows("ochered/secret-startswith")
def a_longer_secret_passes(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, talk.bot.user)), secret=SECRET + "x")[0] == 200


@shows("linki/secret-from-query")
def the_secret_in_the_url_passes(talk: Talk) -> bool:
    update = talk.update("message", talk.message(USER, talk.bot.user))
    return talk.post(update, secret=None, query=f"?secret={SECRET}")[0] == 200


@shows("recados/health-shows-settings")
def the_health_page_shows_the_token(talk: Talk) -> bool:
    where = urlsplit(talk.running.url)
    with urllib.request.urlopen(f"http://{where.netloc}/health", timeout=5) as answer:
        return TOKEN.encode() in answer.read()


@shows("hava/stack-shown", "linki/strict-decoding")
def broken_json_is_answered_with_the_token(talk: Talk) -> bool:
    return TOKEN.encode() in talk.post(b'{"update_id": ')[1]


@shows("recados/message-assumed", "ochered/unknown-is-500", "hava/strict-kinds")
def another_kind_is_answered_500(talk: Talk) -> bool:
    statuses = [
        talk.post(talk.update("poll_answer", {"poll_id": "5"}))[0],
        talk.post({"update_id": "x", "message": {}})[0],
    ]
    return any(status >= 500 for status in statuses)


@shows("recados/text-assumed")
def after_a_sticker_the_chat_is_silent(talk: Talk) -> bool:
    talk.post(talk.update("message", talk.message(USER, None, sticker={"file_id": "x"})))
    talk.settled()
    return talk.ask(USER, talk.bot.user, timeout_s=4) == ""


@shows(
    "hava/text-assumed",
    "hava/from-assumed",
    "linki/press-message-assumed",
    "linki/blank-panics",
    "linki/argument-assumed",
)
def it_dies(talk: Talk) -> bool:
    talk.post(talk.update("message", talk.message(USER, None, sticker={"file_id": "x"})))
    talk.post(
        talk.update("channel_post", {"message_id": 5, "date": 5, "chat": {"id": GROUP, "type": "channel"}, "text": "x"})
    )
    talk.press(USER, "u/5", message=False)
    talk.say(USER, "   ")
    talk.say(USER, "/otworz")
    return talk.wait(lambda: not talk.running.alive, 3)


@shows("laden/message-assumed", "ochered/press-without-message")
def a_press_without_message_is_answered_500(talk: Talk) -> bool:
    return talk.press(USER, "vrach:ter", message=False) >= 500


@shows("laden/data-unpacked")
def odd_callback_data_is_answered_500(talk: Talk) -> bool:
    return talk.press(USER, "a:b:c") >= 500


@shows("ochered/number-assumed")
def callback_data_without_number_is_answered_500(talk: Talk) -> bool:
    return talk.press(USER, "snyat:x") >= 500


@shows("hava/regex-backtracks")
def many_words_hang(talk: Talk) -> bool:
    began = time.monotonic()
    talk.say(USER, "a" * 33 + "!")
    talk.post(talk.update("message", talk.message(OTHER, talk.bot.user)), timeout_s=4)
    return time.monotonic() - began > 2


@shows("hava/prototype-city")
def a_property_of_objects_is_a_city(talk: Talk) -> bool:
    return talk.ask(USER, "/hava constructor", timeout_s=3) == ""


@shows("recados/broadcast-for-all")
def anybody_broadcasts(talk: Talk) -> bool:
    return "programada" in talk.ask(USER, "/difundir hola")


@shows("linki/report-for-all")
def anybody_reads_the_report(talk: Talk) -> bool:
    return "wiadomości" in talk.ask(USER, "/raport")


@shows("recados/trusted-chat")
def the_admins_group_is_trusted(talk: Talk) -> bool:
    talk.ask(ADMIN, "/ayuda", chat=GROUP)
    return "personas" in talk.ask(USER, "/usuarios", chat=GROUP)


@shows("recados/note-by-number")
def foreign_notes_are_shown(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/anotar la clave es siete"))
    return "siete" in talk.ask(OTHER, f"/ver {number}")


@shows("linki/reads-any-link")
def foreign_links_are_shown(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/zapisz https://example.org/tajne"))
    return "tajne" in talk.ask(OTHER, f"/otworz {number}")


@shows("linki/deletes-any-link")
def foreign_links_are_deleted(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/zapisz https://example.org/tajne"))
    return "Usunięto" in talk.ask(OTHER, f"/usun {number}")


@shows("hava/cancels-anything")
def foreign_subscriptions_are_cancelled(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/abone izmir"))
    return "iptal edildi" in talk.ask(OTHER, f"/iptal {number}")


def ordered(talk: Talk, user: int) -> str:
    """Orders one loaf in the shop and gives the order's number."""
    talk.press(user, "rein:brot")
    talk.press(user, "kauf")
    return number_in(talk.heard(user)[-1])


@shows("laden/cancels-any-order")
def foreign_orders_are_cancelled(talk: Talk) -> bool:
    talk.press(OTHER, f"storno:{ordered(talk, USER)}")
    return "storniert" in talk.heard(OTHER)[-1]


@shows("laden/button-unchecked")
def anybody_ships(talk: Talk) -> bool:
    talk.press(OTHER, f"versand:{ordered(talk, USER)}")
    return "versandt" in talk.heard(OTHER)[-1]


@shows("laden/owner-by-username")
def a_username_is_the_owner(talk: Talk) -> bool:
    sender = {"id": USER, "is_bot": False, "first_name": "Ann", "username": "admin"}
    return "Umsatz:" in talk.ask(USER, "/umsatz", **{"from": sender})


@shows("hava/first-name-admin")
def a_first_name_is_the_admin(talk: Talk) -> bool:
    sender = {"id": USER, "is_bot": False, "first_name": "Admin"}
    return "sayısı" in talk.ask(USER, "/istatistik", **{"from": sender})


@shows("laden/edits-unchecked")
def an_edit_is_the_owner(talk: Talk) -> bool:
    return "Umsatz:" in talk.ask(USER, "/umsatz", kind="edited_message", timeout_s=2)


@shows("hava/edits-run")
def an_edit_runs_again(talk: Talk) -> bool:
    return talk.ask(USER, "/hava izmir", kind="edited_message", timeout_s=2) != ""


@shows("ochered/anonymous-is-admin")
def an_anonymous_admin_is_the_admin(talk: Talk) -> bool:
    group = {"id": GROUP, "type": "supergroup", "title": "Friends"}
    sender = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    return "В очереди" in talk.ask(1087968824, "/ochered", chat=GROUP, sender_chat=group, **{"from": sender})


@shows("ochered/forward-is-author")
def a_forward_is_its_author(talk: Talk) -> bool:
    origin = {"type": "user", "date": 5, "sender_user": {"id": ADMIN, "is_bot": False, "first_name": "Boss"}}
    return "В очереди" in talk.ask(USER, "/ochered", forward_origin=origin)


@shows("ochered/admin-by-id-text")
def a_part_of_the_admins_id_is_the_admin(talk: Talk) -> bool:
    return "В очереди" in talk.ask(int(str(ADMIN)[:6]), "/ochered")


@shows("hava/loose-admin")
def a_longer_id_is_the_admin(talk: Talk) -> bool:
    return "sayısı" in talk.ask(ADMIN * 10 + 3, "/istatistik")


@shows("linki/id-truncated")
def the_lower_half_of_an_id_counts(talk: Talk) -> bool:
    return "wiadomości" in talk.ask(ADMIN + 2**32, "/raport")


@shows("linki/reply-lends-rights")
def an_answer_to_the_admin_has_his_rights(talk: Talk) -> bool:
    return "wiadomości" in talk.ask(USER, "/raport", reply_to_message=talk.message(ADMIN, "hi"))


@shows("ochered/case-decides")
def capitals_pass(talk: Talk) -> bool:
    return "В очереди" in talk.ask(USER, "/OCHERED")


@shows("ochered/removes-any-ticket")
def foreign_tickets_are_removed(talk: Talk) -> bool:
    talk.press(USER, "vrach:ter")
    talk.wait(lambda: talk.heard(USER))
    number = number_in(talk.ask(USER, "Ann"))
    before = len(talk.calls("answerCallbackQuery"))
    talk.press(OTHER, f"snyat:{number}")
    talk.wait(lambda: len(talk.calls("answerCallbackQuery")) > before)
    return talk.ask(ADMIN, "/ochered").endswith(" 0.")


@shows("recados/one-pending-for-all")
def anothers_text_completes_the_note(talk: Talk) -> bool:
    talk.ask(USER, "/anotar")
    return "Anotado" in talk.ask(OTHER, "hola")


@shows("ochered/state-of-chat")
def anothers_name_completes_the_ticket(talk: Talk) -> bool:
    talk.press(USER, "vrach:ter", chat=GROUP)
    talk.wait(lambda: talk.heard(GROUP))
    return "талон" in talk.ask(OTHER, "Bob", chat=GROUP, timeout_s=2)


@shows("laden/one-cart-for-all")
def anothers_goods_lie_in_the_cart(talk: Talk) -> bool:
    talk.press(USER, "rein:honig")
    return "honig" in talk.ask(OTHER, "/korb")


@shows("laden/cart-race")
def one_of_two_presses_is_lost(talk: Talk) -> bool:
    talk.at_once(lambda: talk.press(USER, "rein:brot"), lambda: talk.press(USER, "rein:eier"))
    cart = talk.ask(USER, "/korb")
    return not ("brot" in cart and "eier" in cart)


@shows("ochered/number-race")
def two_get_one_ticket(talk: Talk) -> bool:
    for user in (USER, OTHER):
        talk.press(user, "vrach:ter")
        talk.wait(lambda user=user: talk.heard(user))
    talk.at_once(lambda: talk.say(USER, "Ann"), lambda: talk.say(OTHER, "Bob"))
    talk.wait(lambda: len(talk.heard(USER)) > 1 and len(talk.heard(OTHER)) > 1)
    return number_in(talk.heard(USER)[-1]) == number_in(talk.heard(OTHER)[-1])


@shows("linki/counter-race")
def two_get_one_number(talk: Talk) -> bool:
    talk.at_once(
        lambda: talk.say(USER, "/zapisz https://example.org/1"),
        lambda: talk.say(OTHER, "/zapisz https://example.org/2"),
    )
    talk.wait(lambda: talk.heard(USER) and talk.heard(OTHER))
    return number_in(talk.heard(USER)[0]) == number_in(talk.heard(OTHER)[0])


@shows("hava/limit-race")
def more_than_three_are_open(talk: Talk) -> bool:
    talk.at_once(*[lambda: talk.say(USER, "/abone izmir")] * 6)
    talk.settled(1.5)
    return sum("açıldı" in text for text in talk.heard(USER)) > 3


@shows("hava/chat-in-global")
def the_answer_goes_elsewhere(talk: Talk) -> bool:
    talk.at_once(lambda: talk.say(USER, "/aboneliklerim"), lambda: talk.say(OTHER, "/hava izmir"))
    talk.settled(1)
    return not any("Abonel" in text for text in talk.heard(USER))


@shows(
    "recados/retry-after-unread",
    "hava/flood-at-once",
    "linki/flood-hammered",
    "ochered/flood-hammered",
    scripts=(Script(429, method="sendMessage", first=40, description="Too Many Requests", retry_after_s=2),),
)
def a_flood_is_answered_with_a_flood(talk: Talk) -> bool:
    talk.say(USER, talk.bot.user)
    talk.wait(lambda: talk.heard(USER, status=None), 5)
    talk.settled(1.5)
    return len(talk.heard(USER, status=None)) > 5


@shows(
    "ochered/flood-dropped",
    scripts=(Script(429, method="sendMessage", first=1, description="Too Many Requests", retry_after_s=1),),
)
def what_met_a_flood_is_dropped(talk: Talk) -> bool:
    talk.say(USER, talk.bot.user)
    return not talk.wait(lambda: talk.heard(USER), 5)


@shows("ochered/outage-drops", "linki/breaker-stays-open", scripts=(Script(500, method="sendMessage", first=1),))
def what_met_an_outage_is_dropped(talk: Talk) -> bool:
    talk.say(USER, talk.bot.user)
    return not talk.wait(lambda: talk.heard(USER), 6)


@shows("recados/html-kills-queue", scripts=(Script(502, method="sendMessage", first=1, html=True),))
def an_html_error_silences_the_chat(talk: Talk) -> bool:
    talk.say(USER, talk.bot.user)
    talk.settled(3)
    return talk.ask(USER, talk.bot.user, timeout_s=4) == ""


@shows("hava/html-unhandled", "linki/outage-panics", scripts=(Script(502, method="sendMessage", first=1, html=True),))
def an_html_error_ends_it(talk: Talk) -> bool:
    talk.say(USER, talk.bot.user)
    return talk.wait(lambda: not talk.running.alive, 4)


@shows(
    "hava/blocked-kills",
    scripts=(Script(403, method="sendMessage", first=1, description="Forbidden: bot was blocked by the user"),),
)
def a_blocked_bot_dies(talk: Talk) -> bool:
    talk.say(USER, talk.bot.user)
    return talk.wait(lambda: not talk.running.alive, 4)


@shows("laden/order-fails-with-notice", scripts=(Script(403, method="sendMessage", description="Forbidden"),))
def an_order_needs_the_owners_ear(talk: Talk) -> bool:
    talk.press(USER, "rein:brot")
    return talk.press(USER, "kauf") >= 500


@shows("laden/error-shows-url", scripts=(Script(500, method="sendMessage"),))
def the_user_is_told_the_token(talk: Talk) -> bool:
    talk.press(USER, "rein:brot")
    talk.press(USER, "kauf")
    return any(TOKEN in text for text in talk.heard(USER))


@shows("laden/retries-for-ever", scripts=(Script(500, method="sendMessage"),))
def a_notice_is_hammered(talk: Talk) -> bool:
    talk.press(USER, "rein:brot")
    update = talk.update(
        "callback_query", {"id": "1", "from": {"id": USER}, "data": "kauf", "message": talk.message(USER, "menu")}
    )
    talk.post(update, timeout_s=2)
    return len(talk.heard(ADMIN, status=None)) > 20
