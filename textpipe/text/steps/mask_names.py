"""Replace names of persons with a token."""

from typing import Literal

from pydantic import field_validator

from textpipe.config.sections import Section
from textpipe.text.steps import _typed_tokens
from textpipe.text.steps._typed_tokens import GAP, PROTECTED

BLANK = r"[ \t\x{a0}]"
# WORD: Lee, O'Brien, McKay, Anna-Lena; not IT. NAME: Anna van Dyke, J. Lee. NAMES: Anna, Tom and Bob.
WORD = r"\p{Lu}(?:[\p{L}\p{M}'’\-]*\p{Ll}|\.)"
NAME = rf"{WORD}(?:{BLANK}(?:(?:von|van|de|der|den|del|di|da|du|la|zu|zur|al){BLANK})*{WORD})*"
NAMES = rf"{WORD}(?:(?:,?{BLANK}|{BLANK}(?:and|und|&|von|van|de|der|la){BLANK}){WORD})*"
TITLE = rf"(?:Mr|Mrs|Ms|Mx|Dr|Prof|Miss|Sir|Professor|Doktor|Doctor|Herrn?|Frau)\.?{GAP}(?:(?:Dr|Prof)\.?{GAP}){{0,2}}"
START = rf"(?:\A|\n|[.!?,]{BLANK})[ \t]*"
GREETING = (
    r"(?i:hi|hello|hey|dear|hallo|liebe[rs]?|moin|servus|good (?:morning|afternoon|evening)|guten (?:tag|morgen|abend))"
)
THANKS = (
    r"(?i:thanks|thank you|many thanks|thanks (?:a lot|again|so much)|thank you (?:so|very) much|thx|cheers|sorry|welcome|congratulations|congrats|goodbye|bye"
    r"|danke|danke schön|vielen dank|besten dank|herzlichen glückwunsch|tschüss|tschüß)"
)
CLOSING = (
    r"(?i:(?:(?:kind|best|warm|warmest|kindest|many) )?(?:regards|wishes|thanks)|best|all the best|cheers|thanks|thank you|thx|love|yours|yours (?:sincerely|truly|faithfully)|sincerely(?: yours)?|see you|talk soon"
    r"|(?:viele|liebe|beste|schöne|herzliche|freundliche) grüße|mit (?:freundlichen|besten|herzlichen) grüßen|gruß|grüße|lg|vg|mfg|danke)"
)
GREETING, THANKS, CLOSING = (
    PROTECTED + "?" + words.replace(" ", f" {PROTECTED}?") for words in (GREETING, THANKS, CLOSING)
)
INTRODUCTION = rf"(?i:my name is|mein name ist|ich heiße|ich heisse){BLANK}"
ASKED = rf"\b(?:[Aa]sk|[Aa]sked|[Tt]ell|[Tt]old|[Rr]emind|[Rr]eminded|[Ii]nform|[Ii]nformed|[Tt]hank|cc){BLANK}"
AFTER_NAME = rf"\z|[.,!?;:)]\B|{BLANK}?\n|{BLANK}[\-–—]"
ANY_AFTER = r"\z|[^\p{L}\p{M}\p{N}_@.\-/]|[.\-/]\B"
# Capitalized words that follow such a cue but are not names.
NO_NAME = (
    r"\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|Miss|Herrn?|Frau|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?|January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Montag|Dienstag|Mittwoch|Donnerstag|Freitag|Samstag|Sonnabend|Sonntag|Januar|Februar|März|Mai|Juni|Juli|Oktober|Dezember|Christmas|Easter|Weihnachten|Ostern"
    r"|All|Alle|Allen|Allerseits|Both|Team|Teams|There|Everyone|Everybody|Anyone|Someone|Nobody|Folks|Guys|Friends?|Colleagues?|Customers?|Clients?|Members?|Sirs?|Madam|Ladies|Gentlemen|Neighbours?|Neighbors?"
    r"|Damen|Herren|Kolleg(?:en|innen|in|e)|Freunde?|Zusammen|Leute|Kund(?:en|innen|in|e)|Mitglieder|Nachbarn?"
    r"|Support|Sales|Finance|Legal|Marketing|Accounting|Accounts|Human|Hiring|Service|Security|Management|Reception|Customer|President|Chairman|Chair|Speaker|Secretary|Minister|Professor|Doktor|Doctor|Pr[äe]sident(?:in)?|Vorsitzende[rn]?|Bürgermeister(?:in)?"
    r"|I|We|You|He|She|It|They|Me|Us|Them|This|That|These|Those|The|An?|My|Our|Your|His|Her|Its|Their|Ich|Wir|Du|Sie|Er|Es|Ihr|Ihnen|Dir|Das|Der|Die|Ein|Eine|Mein|Unser"
    r"|And|Or|But|So|If|As|At|By|For|From|In|Of|On|To|With|Und|Oder|Aber|Wenn|Für|Von|Mit|Again|Also|Very|Much|Just|Please|Bitte|Yes|No|Not|Ok|Okay|Ja|Nein|Sure|Great|Good|Best|Kind|Regards|Gr[üu][ßs]+en?|Gruß|Thanks?|Danke|Sorry|Well|Welcome|What|When|Where|Who|Why|How|Which|Was|Wann|Wo|Wer|Warum|Wie"
    r"|Is|Are|Am|Do|Does|Did|Can|Could|Will|Would|Shall|Should|Might|Must|Have|Has|Had|Let|See|Talk|Call|Sent|Here|Now|Then|Today|Tomorrow|Tonight|Everything|Nothing|Happy|Merry|New|Old|Next|Last|Any|Some|Many|Most|Mark it)\b"
)


class Config(Section):
    kind: Literal["mask_names"] = "mask_names"
    token: str = "<name>"  # replacement for each name; must not contain digits

    check_token = field_validator("token")(_typed_tokens.check_token)


def apply(text, config):
    """[N] string -> [N] string; capitalized words in positions where English and German mails have names. Idempotent.

    These positions are: after a title (Mr, Dr., Frau), after a greeting or thanks and before a comma or the end of the sentence, after a
    closing, and after "my name is", "ask" and "tell". Names elsewhere and names in lower case are not replaced: precision is high, recall
    is not. Put it before `casefold`.

    "Hi Bob, please ask Ms Lee. Thanks, Ann" -> "Hi <name>, please ask Ms <name>. Thanks, <name>";  "Dear all, May I?" stays
    """
    token = config.token
    text = _typed_tokens.protect(text, NO_NAME)
    text = _typed_tokens.replace(text, NAME, token, before=rf"(?:\A|[^\p{{L}}\p{{N}}_]){TITLE}", after=ANY_AFTER)
    text = _typed_tokens.replace(text, NAMES, token, before=rf"{START}{GREETING},?{BLANK}", after=AFTER_NAME)
    text = _typed_tokens.replace(text, NAME, token, before=rf"{START}{THANKS},?{BLANK}", after=AFTER_NAME)
    text = _typed_tokens.replace(text, NAME, token, before=rf"{START}{CLOSING}[,.!]?[ \t\n]{{1,4}}", after=r"\s*\z")
    text = _typed_tokens.replace(text, NAME, token, before=r"\n[ \t]*(?:[\-–—]{1,2}|/)[ \t]?", after=r"\s*\z")
    text = _typed_tokens.replace(text, NAME, token, before=INTRODUCTION, after=ANY_AFTER)
    text = _typed_tokens.replace(text, NAME, token, before=ASKED, after=ANY_AFTER)
    return _typed_tokens.unprotect(text)
