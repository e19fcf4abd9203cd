"""Shows bugs of the park directly: each function says whether the bug is seen in a conversation.

Only what a handful of deliveries can show stands here; leaks of memory and silent APIs need more time and are left to the campaign.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

from chaosbot.mocks.telegram import Script

from .talk import ADMIN, GROUP, OTHER, SECRET, STICKER, TOKEN, USER, Talk

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
    talk.post(talk.update("message", talk.message(USER, None, sticker=STICKER)))
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
    talk.post(talk.update("message", talk.message(USER, None, sticker=STICKER)))
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


# Python-telegram-bot's run_webhook


@shows("regole/reply-assumed")
def a_report_of_nothing_is_not_answered(talk: Talk) -> bool:
    return talk.ask(USER, "/segnala", timeout_s=3) == ""


@shows("regole/number-assumed")
def a_warning_of_a_word_is_not_answered(talk: Talk) -> bool:
    return talk.ask(ADMIN, "/ammonisci tutti", chat=GROUP, timeout_s=3) == ""


@shows("regole/secret-not-given", "quizz/secret-if-given", "pujian/absent-passes", "splitter/secret-list")
def none_or_an_empty_secret_passes(talk: Talk) -> bool:
    update = talk.update("message", talk.message(USER, talk.bot.user))
    return 200 in {talk.post(update, secret=secret)[0] for secret in (None, "")}


@shows("regole/sender-chat-trusted")
def a_channel_warns(talk: Talk) -> bool:
    channel = {"id": -1_009_876_543_210, "type": "channel", "title": "News"}
    return "Ammonito" in talk.ask(USER, "/ammonisci 5", chat=GROUP, sender_chat=channel)


@shows("regole/via-bot-trusted")
def a_message_by_an_inline_bot_warns(talk: Talk) -> bool:
    helper = {"id": 5, "is_bot": True, "first_name": "Gif", "username": "gif_bot"}
    return "Ammonito" in talk.ask(USER, "/ammonisci 5", chat=GROUP, via_bot=helper)


@shows("regole/trusted-for-ever")
def the_admins_warning_makes_all_administrators(talk: Talk) -> bool:
    talk.ask(ADMIN, "/ammonisci 5", chat=GROUP)
    return "Ammonito" in talk.ask(USER, "/ammonisci 5", chat=GROUP)


@shows("regole/check-fails-open", scripts=(Script(500, method="getChatMember"),))
def without_an_answer_everybody_warns(talk: Talk) -> bool:
    return "Ammonito" in talk.ask(USER, "/ammonisci 5", chat=GROUP, timeout_s=12)


@shows("regole/summary-for-all")
def anybody_reads_the_summary(talk: Talk) -> bool:
    return "Ammoniti" in talk.ask(USER, "/riepilogo")


@shows("regole/warnings-of-anybody")
def warnings_of_another_are_shown(talk: Talk) -> bool:
    talk.ask(ADMIN, f"/ammonisci {OTHER}", chat=GROUP)
    return talk.ask(USER, f"/ammonizioni {OTHER}", chat=GROUP).endswith(" 1")


@shows("regole/update-in-global")
def the_rules_go_elsewhere(talk: Talk) -> bool:
    talk.at_once(lambda: talk.say(USER, "/regole"), lambda: talk.say(OTHER, "/aiuto"))
    talk.settled(1)
    return not talk.heard(USER)


@shows("regole/count-race")
def two_warnings_count_as_one(talk: Talk) -> bool:
    talk.at_once(
        lambda: talk.say(ADMIN, "/ammonisci 5", chat=GROUP), lambda: talk.say(ADMIN, "/ammonisci 5", chat=GROUP)
    )
    talk.wait(lambda: len(talk.heard(GROUP)) == 2)
    return {number_in(text) for text in talk.heard(GROUP)} == {"1"}


# Python-telegram-bot behind Starlette


@shows("habitos/argument-assumed")
def done_without_a_number_is_not_answered(talk: Talk) -> bool:
    return talk.ask(USER, "/feito", timeout_s=3) == ""


@shows("habitos/parse-error-is-500")
def an_odd_update_is_answered_500(talk: Talk) -> bool:
    return talk.post({"update_id": 5, "message": {"chat": 5, "from": [], "text": {}}})[0] >= 500


@shows("habitos/parse-error-told")
def an_odd_update_is_answered_with_the_token(talk: Talk) -> bool:
    return TOKEN.encode() in talk.post({"update_id": 5, "message": {"chat": 5, "from": [], "text": {}}})[1]


@shows("habitos/secret-contained", "splitter/secret-list")
def a_beginning_of_the_secret_passes(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, talk.bot.user)), secret=SECRET[:4])[0] == 200


@shows("habitos/secret-stripped")
def signs_after_the_secret_do_not_count(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, talk.bot.user)), secret=SECRET + "==")[0] == 200


@shows("habitos/marks-anything")
def foreign_habits_are_marked(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/novo correr"))
    return "1 vezes" in talk.ask(OTHER, f"/feito {number}")


@shows("habitos/erases-anything")
def foreign_habits_are_erased(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/novo correr"))
    return "apagado" in talk.ask(OTHER, f"/apagar {number}")


@shows("habitos/button-for-all")
def anybody_presses_the_admins_button(talk: Talk) -> bool:
    talk.press(USER, "limpar:1")
    talk.wait(lambda: talk.heard(USER))
    return "limpo" in talk.heard(USER)[-1]


@shows("habitos/overview-for-all")
def anybody_sees_the_overview(talk: Talk) -> bool:
    return "ao todo" in talk.ask(USER, "/panorama")


@shows("habitos/reply-is-admin")
def an_answer_to_the_admin_is_the_admin(talk: Talk) -> bool:
    return "ao todo" in talk.ask(USER, "/panorama", reply_to_message=talk.message(ADMIN, "oi"))


@shows("habitos/asks-the-chat")
def anothers_text_makes_the_habit(talk: Talk) -> bool:
    talk.ask(USER, "/novo", chat=GROUP)
    return "criado" in talk.ask(OTHER, "correr", chat=GROUP, timeout_s=2)


@shows("habitos/edits-run")
def an_edited_command_runs(talk: Talk) -> bool:
    return talk.ask(USER, "/habitos", kind="edited_message", timeout_s=2) != ""


# grammY


@shows("splitter/message-assumed", "splitter/data-assumed", "splitter/amount-unchecked")
def grammy_dies(talk: Talk) -> bool:
    talk.press(USER, "undo/1", message=False)
    talk.press(USER, "undo")
    talk.say(USER, "/spent Infinity")
    return talk.wait(lambda: not talk.running.alive, 3)


@shows("splitter/mention-is-admin")
def a_mention_skips_the_check(talk: Talk) -> bool:
    return "in the book" in talk.ask(USER, "/audit@splitter_bot")


@shows("splitter/edits-obeyed")
def an_edited_audit_runs(talk: Talk) -> bool:
    return "in the book" in talk.ask(USER, "/audit", kind="edited_message", timeout_s=2)


@shows("splitter/prefix-is-admin")
def the_admins_id_and_a_digit_is_the_treasurer(talk: Talk) -> bool:
    return "in the book" in talk.ask(ADMIN * 10 + 3, "/audit")


@shows("splitter/undoes-anything")
def foreign_receipts_are_undone(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/spent 5", chat=GROUP))
    return "Undone" in talk.ask(OTHER, f"/undo {number}", chat=GROUP)


@shows("splitter/session-of-all")
def all_groups_share_their_members(talk: Talk) -> bool:
    talk.ask(USER, "/join", chat=GROUP)
    return number_in(talk.ask(OTHER, "/join")) == "2"


@shows("splitter/number-race")
def two_get_one_receipt(talk: Talk) -> bool:
    talk.at_once(lambda: talk.say(USER, "/spent 5"), lambda: talk.say(OTHER, "/spent 6"))
    talk.wait(lambda: talk.heard(USER) and talk.heard(OTHER))
    return number_in(talk.heard(USER)[0]) == number_in(talk.heard(OTHER)[0])


@shows("splitter/outage-kills", "quizz/no-retries", scripts=(Script(502, method="sendMessage", first=1, html=True),))
def a_failed_call_ends_it(talk: Talk) -> bool:
    talk.say(USER, talk.bot.user)
    return talk.wait(lambda: not talk.running.alive, 4)


@shows(
    "splitter/repeats",
    "quizz/twice",
    "madoguchi/served-again",
    "pujian/again-and-again",
    "regole/seen-forgotten",
    "habitos/update-repeated",
)
def an_update_that_comes_again_acts_again(talk: Talk) -> bool:
    update = talk.update("message", talk.message(USER, "/start"))
    talk.post(update)
    talk.wait(lambda: talk.heard(USER))
    talk.post(update)
    talk.settled(1)
    return len(talk.heard(USER, status=None)) > 1


# Telegraf


@shows("quizz/message-assumed", "quizz/index-assumed")
def telegraf_dies(talk: Talk) -> bool:
    talk.press(USER, "x", message=False)
    talk.press(USER, "r:99:0")
    return talk.wait(lambda: not talk.running.alive, 3)


@shows("quizz/name-as-html")
def an_odd_nickname_is_not_answered(talk: Talk) -> bool:
    return talk.ask(USER, "/surnom a<b", timeout_s=3) == ""


@shows("quizz/secret-cut")
def only_the_beginning_of_the_secret_counts(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, talk.bot.user)), secret=SECRET[:16] + "xx")[0] == 200


@shows("quizz/status-shows-token")
def the_status_page_shows_the_token(talk: Talk) -> bool:
    where = urlsplit(talk.running.url)
    with urllib.request.urlopen(f"http://{where.netloc}/status", timeout=5) as answer:
        return TOKEN.encode() in answer.read()


@shows("quizz/private-only")
def in_groups_anybody_is_the_host(talk: Talk) -> bool:
    return "enregistrés" in talk.ask(USER, "/bilan", chat=GROUP)


@shows("quizz/quote-is-admin")
def who_quotes_the_host_is_the_host(talk: Talk) -> bool:
    return "enregistrés" in talk.ask(USER, "/bilan", reply_to_message=talk.message(ADMIN, "oui"))


@shows("quizz/report-open")
def anybody_reads_the_results(talk: Talk) -> bool:
    return "enregistrés" in talk.ask(USER, "/bilan")


@shows("quizz/results-of-all")
def foreign_results_are_shown(talk: Talk) -> bool:
    talk.ask(USER, "/question")
    which = talk.press(USER, "r:1:1")
    talk.wait(lambda: len(talk.heard(USER)) > 1)
    number = number_in(talk.heard(USER)[-1])
    return which == 200 and number != "0" and "Réponse" in talk.ask(OTHER, f"/resultat {number}")


@shows("quizz/session-of-chat")
def anothers_text_is_the_nickname(talk: Talk) -> bool:
    talk.ask(USER, "/surnom", chat=GROUP)
    return "enregistré" in talk.ask(OTHER, "salut", chat=GROUP, timeout_s=2)


# Flask


@shows("madoguchi/number-assumed")
def a_ticket_that_is_no_number_is_not_answered(talk: Talk) -> bool:
    return talk.ask(USER, "/hyouji x", timeout_s=3) == ""


@shows("madoguchi/sql-by-hand")
def an_apostrophe_is_not_taken(talk: Talk) -> bool:
    return talk.ask(USER, "/toiawase it's late", timeout_s=3) == ""


@shows("madoguchi/text-assumed")
def a_photo_silences_the_chat(talk: Talk) -> bool:
    talk.post(talk.update("message", talk.message(USER, None, photo=[])))
    talk.settled(1)
    return talk.ask(USER, talk.bot.user, timeout_s=3) == ""


@shows("madoguchi/debug-page")
def broken_json_shows_the_settings(talk: Talk) -> bool:
    return SECRET.encode() in talk.post(b'{"update_id": ')[1]


@shows("madoguchi/list-is-open")
def anybody_lists_the_tickets(talk: Talk) -> bool:
    return "件です" in talk.ask(USER, "/ichiran")


@shows("madoguchi/bot-is-owner")
def a_bot_lists_the_tickets(talk: Talk) -> bool:
    sender = {"id": USER, "is_bot": True, "first_name": "Helper"}
    return "件です" in talk.ask(USER, "/ichiran", **{"from": sender})


@shows("madoguchi/tickets-are-open")
def foreign_tickets_are_shown(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/toiawase himitsu"))
    return "himitsu" in talk.ask(OTHER, f"/hyouji {number}")


@shows("madoguchi/cancel-is-open")
def foreign_tickets_are_cancelled(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/toiawase himitsu"))
    return "取り消し" in talk.ask(OTHER, f"/torikeshi {number}")


@shows("madoguchi/writing-is-global")
def anothers_text_is_the_ticket(talk: Talk) -> bool:
    talk.ask(USER, "/toiawase")
    return "受付番号" in talk.ask(OTHER, "konnichiwa")


@shows("madoguchi/edit-opens-again")
def an_edit_opens_a_ticket(talk: Talk) -> bool:
    return "受付番号" in talk.ask(USER, "/toiawase mata", kind="edited_message", timeout_s=2)


# aiohttp with Redis


@shows("pujian/blank-is-500")
def a_sticker_is_answered_500(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, None, sticker=STICKER)))[0] >= 500


@shows("pujian/quote-assumed")
def a_lonely_plus_is_answered_500(talk: Talk) -> bool:
    return talk.say(USER, "+") >= 500


@shows("pujian/code-assumed")
def a_code_that_is_no_number_is_answered_500(talk: Talk) -> bool:
    return talk.say(USER, "/tukar abc") >= 500


@shows("pujian/secret-lowered")
def the_secret_in_lower_case_passes(talk: Talk) -> bool:
    return talk.post(talk.update("message", talk.message(USER, talk.bot.user)), secret=SECRET.lower())[0] == 200


@shows("pujian/refusal-shows-secret")
def a_refusal_shows_the_secret(talk: Talk) -> bool:
    return SECRET.encode() in talk.post(b"{}", secret="wrong")[1]


@shows("pujian/report-unchecked")
def anybody_reads_the_gifts(talk: Talk) -> bool:
    return "sekarang" in talk.ask(USER, "/laporan")


@shows("pujian/entity-is-admin")
def a_mention_of_the_admin_is_the_admin(talk: Talk) -> bool:
    entity = {
        "type": "text_mention",
        "offset": 0,
        "length": 3,
        "user": {"id": ADMIN, "is_bot": False, "first_name": "Boss"},
    }
    return "sekarang" in talk.ask(USER, "/laporan", entities=[entity])


@shows("pujian/float-is-admin")
def an_id_that_begins_with_the_admins_is_the_admin(talk: Talk) -> bool:
    return "sekarang" in talk.ask(ADMIN * 10 + 3, "/laporan")


@shows("pujian/any-gift")
def foreign_gifts_are_redeemed(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/hadiah"))
    return "ditukar." in talk.ask(OTHER, f"/tukar {number}") and "sudah" not in talk.heard(OTHER)[-1]


@shows("pujian/gift-race")
def a_gift_is_redeemed_twice(talk: Talk) -> bool:
    number = number_in(talk.ask(USER, "/hadiah"))
    talk.at_once(*[lambda: talk.say(USER, f"/tukar {number}")] * 2)
    talk.wait(lambda: len(talk.heard(USER)) == 3)
    return talk.heard(USER)[1:] == ["Hadiah ditukar."] * 2


@shows("pujian/score-race")
def two_praises_count_as_one(talk: Talk) -> bool:
    friend = talk.message(OTHER, "hi", chat=GROUP)
    talk.at_once(*[lambda: talk.say(USER, "+", chat=GROUP, reply_to_message=friend)] * 2)
    talk.wait(lambda: len(talk.heard(GROUP)) == 2)
    return {number_in(text) for text in talk.heard(GROUP)} == {"1"}


@shows("pujian/html-is-500", scripts=(Script(502, method="sendMessage", first=1, html=True),))
def an_html_error_is_answered_500(talk: Talk) -> bool:
    return talk.say(USER, talk.bot.user) == 500


@shows(
    "pujian/refusal-is-500",
    scripts=(Script(403, method="sendMessage", description="Forbidden: bot was blocked by the user"),),
)
def a_blocked_bot_answers_500(talk: Talk) -> bool:
    return talk.say(USER, talk.bot.user) == 500


@shows("pujian/edits-praise")
def an_edited_plus_praises(talk: Talk) -> bool:
    friend = talk.message(OTHER, "hi", chat=GROUP)
    return talk.ask(USER, "+", chat=GROUP, kind="edited_message", timeout_s=2, reply_to_message=friend) != ""
