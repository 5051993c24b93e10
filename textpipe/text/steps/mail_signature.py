"""Remove the closing and the signature of a mail."""

from typing import Literal

from textpipe.config.sections import Section
from textpipe.text.steps import _mail_words as words
from textpipe.text.steps._search import contains

# RFC 3676, section 4.3: a line of two dashes and a space. Some programs lose the space: then the text below must be
# short and without a question.
SEPARATED = r"(?s)(?:\A|\n)-- (?:\n.*|\z)|(?:\A|\n)--(?:\n[^\n?]*){0,10}\s*\z"
# A device is a name or one of these words; "sent from my old desk yesterday" is a sentence.
KNOWN_DEVICE = r"(?i:i?phone|ipad|ipod|blackberry|android|mobile|handy|smartphone|tablet|cell ?phone|handheld|phone|samsung|galaxy|pixel)"
MODEL = r"(?:[ \t](?:[A-Z0-9][^\s,;:?!()]*|(?i:phone|smartphone|tablet|device|wireless|handheld|mobile|pro|mini|plus))){0,4}"
DEVICE = rf"(?:{KNOWN_DEVICE}|[a-z]?[A-Z][^\s,;:?!.()]*)(?:['’]a|u)?{MODEL}"
SENT_FROM = (
    r"(?m)^[ \t]*(?:"
    rf"(?i:sent from my|sent from an?|sent via|envoyé de mon|envoyé depuis mon|enviado desde mi|enviado do meu"
    rf"|inviato da(?:l mio)?|verstuurd vanaf mijn|verzonden vanaf mijn|skickat från min|sendt fra min|wysłane z"
    rf"|odesláno z|отправлено с|gesendet von meinem|gesendet mit(?: der)?)[ \t]+{DEVICE}"
    rf"|(?i:von meinem|diese nachricht wurde von meinem)[ \t]+(?:{KNOWN_DEVICE}{MODEL}(?:[ \t]gesendet)?|{DEVICE}[ \t]gesendet)"
    r"|(?i:sent from (?:mail|outlook|yahoo mail|protonmail|gmail mobile)(?: (?:for|on) [^\n.?]{0,30})?"
    r"|get outlook for [^\n?]{0,40}|(?:holen sie sich|téléchargez|obtenez|obtener|obtén|obter|ottieni|scarica|download|hämta|hent)"
    r" outlook [^\n?]{0,40}|von outlook für [^\n?]{0,30}(?:gesendet)?)"
    r"|iPhone'?umdan gönderildi|Lähetetty iPhonesta|iPhoneから送信|发自我的[^\n?？。]{1,20}|從我的[^\n?？。]{1,20}傳送"
    r"|나의 [^\n?.]{1,20}에서 보냄)[ \t]*[.!]?[ \t]*(?:\n|\z)"
)
THANKS = (
    r"(?:(?:many|much) )?(?:thanks|thanx|thnx|thank you|thx|tx)(?: again| in advance| so much| very much| a lot)?"
    r"(?: (?:for|to|and)[ \t][^\n.?!]+)?"
)
REGARDS = r"(?:with )?(?:my )?(?:best|kind|kindest|warm|warmest|many)? ?(?:regards|rgds)"
CLOSING = (
    rf"(?i:{THANKS}|(?:{THANKS} (?:&|and) )?{REGARDS}|(?:all the |my )?best(?: wishes)?|hth|hope (?:this|that|it) helps"
    r"|cheers|cordially|respectfully|greetings|warmly|take care|(?:with )?love|good luck|later|(?:yours )?(?:sincerely|truly|faithfully)(?: yours)?"
    r"|have a (?:nice|great|good|wonderful) [^\n.?!]+|talk to you (?:soon|later)|see you (?:soon|later|then|there|tomorrow)"
    r"|mit (?:freundlichen|besten|herzlichen|lieben) grüßen|(?:viele|liebe|beste|herzliche|schöne|freundliche) grüße"
    r"|(?:lieben |besten |vielen |herzlichen |schönen )?(?:gruß|gruss|dank)(?: im voraus)?|danke(?: schön| sehr)?(?: im voraus)?|mfg|lg|vg"
    r"|(?:bien )?cordialement|bien à vous|merci(?: d['’]avance| beaucoup)?|salutations|amicalement"
    r"|(?:un )?saludos?(?: cordiales)?|(?:muchas )?gracias|atentamente|(?:cordiali |distinti )?saluti|grazie(?: mille)?"
    r"|atenciosamente|obrigad[oa]|abraços?|cumprimentos|met vriendelijke groet(?:en)?|(?:hartelijke )?groet(?:en|jes)?|mvg|bedankt"
    r"|pozdrawiam|(?:med )?vänliga hälsningar|hälsningar|mvh|med venlig hilsen|(?:venlig )?hilsen|s pozdravem"
    r"|(?:ystävällisin )?terveisin|saygılarımla|с уважением)"
)
# Names and titles, which are capitalized, and contact details follow a closing; a sentence has neither. The character
# classes are coarse and used once, because RE2 rejects patterns with more than a few thousand ranges.
LETTER = r"[^\x00-@\[-`{-\x{bf}\x{2000}-\x{206f}\x{3000}-\x{303f}\x{ff00}-\x{ff20}]"
JOINING = (
    r"(?:v[ao]n|vom|und|and|of|for|the|den?|der|d[ieau]|del|la|le|du|des|et|y|für|at|in|zu"
    r"|phone|fax|cell|mobile|office|direct|tel|home|work|wireless|pager|ext|extension|ph)\b"
)
WORD = rf"(?:\p{{Lu}}(?:{LETTER}|[0-9.'’\-])*|{JOINING}|[#(]?x?[0-9](?:{LETTER}|[0-9.,:/()\-])*)"
GAP = r"[ \t,/|&+·•–—\-()*_~=\"“”@:;.®™\[\]<>]"
NAMES = rf"{GAP}*(?:{WORD}{GAP}*)*"
NICKNAME = rf"[ \t]*[~\-–—]?[ \t]*{LETTER}(?:{LETTER}|[.'’\-])*[ \t]*"
ADDRESS = r"(?:[^\s?!@]+@[^\s?!@]+|(?:https?://|www\.)[^\s?!]+)"
PLACE = rf"[ \t]*(?:{LETTER}+[ \t]*[:.]?[ \t]+)?{ADDRESS}(?:[ \t,;|/]+{ADDRESS})*[ \t]*(?:\([^\n()?]*\))?[ \t]*"
LABELLED = (
    r"(?i:[ \t]*(?:tel|telefon|telephone|phone|ph|mobile?|mob|cell|handy|fax|office|direct|home|work|skype|e-?mail|mail|web"
    r"|website|url|icq|aim|msn|im|[tmfepwhoc])[ \t]*[.:#]+[^\n?!]*)"
)
UPPER = r"[A-Z\x{c0}-\x{de}\x{100}-\x{17f}\x{400}-\x{42f}]"
CAPITALIZED = rf"{UPPER}(?:{LETTER}|['’\-])*"
FULL_NAME = rf"{CAPITALIZED}(?:\.?[ \t]+(?:{CAPITALIZED}|v[ao]n|de[rn]?|la|bin))*"
# "Thanks, Karen.", "Cheers -- Rick": one word, or names.
SAME_LINE = rf"[,.!\-–—]+[ \t]*(?:{LETTER}+|{FULL_NAME})[.!]?[ \t]*"
CLOSING_LINE = rf"[ \t]*{CLOSING}[ \t]*(?:[,.!;\-]*[ \t]*|{SAME_LINE})(?:(?:\n[ \t]*)*\n{NICKNAME})?"
SIGNED = rf"(?:\n(?:{NAMES}|{PLACE}|{LABELLED}|{CLOSING_LINE}))*\s*\z"
CLOSED = rf"\s*\n{CLOSING_LINE}{SIGNED}"
# Without a closing: a name behind an empty line or a dash. It is no signature unless there is a complete sentence or a
# line of some length above it, or an address or number below it.
RULE = r"[ \t]*[*_=\-–—~>]*[ \t]*"
NAMED = rf"(?:\n(?:[ \t]*\n)+(?:{RULE}\n)?{RULE}(?:{FULL_NAME}|[a-z]+)(?:,[^\n?!.]*)?|\n+{RULE}-[ \t]*{LETTER}+[.]?)[ \t]*{SIGNED}"
COMPLETE = r"(?:[.?!)…][ \t*_]*|[^\n]{24}[^\n:,;])\z"
NUMBERED = r"@|www\.|://|[0-9]{3}"
ANNOUNCED = r"[:,;]\s*\z"
# A closing with its name above more text, such as a postscript.
INSIDE = (
    rf"(?m)^[ \t]*{CLOSING}[ \t]*[,.!]?[ \t]*\n(?:[ \t]*\n)?[ \t]*[\-–—~]*[ \t]*{FULL_NAME}\.?[ \t]*\n"
    r"([ \t]*\n\s*\S|[\-_*=]{3}|(?i:ps|p\. ?s\.))"
)
# Added below a mail by its sender's company; one of the second words must follow.
DISCLAIMER = (
    r"(?i)\n(?:[ \t]*\n|[ \t]*[*_=\-]{3,}[ \t]*\n)+[ \t*]*(?:(?:legal |important |e-?mail )?(?:confidentiality )?(?:notice|disclaimer)\b"
    r"|confidential(?:ity)? (?:notice|note)|the (?:information|content)s?[^.\n]* in this (?:e-?mail|message|communication|transmission)"
    r"|this (?:e-?mail|message|communication|transmission|electronic)[^.\n]*\n?[^.\n]*(?:confidential|privileged|private|intended)"
    r"|(?:der inhalt )?diese[rs]? (?:e-?mail|nachricht)[^.\n]*\n?[^.\n]*(?:vertraulich|bestimmt)"
    r"|ce (?:message|courriel|mail)[^.\n]*\n?[^.\n]*(?:confidentiel|exclusi))(?s:.*)"
)
LEGAL = (
    r"(?i)recipient|addressee|in error|disclos|prohibited|unauthori[sz]ed|notify|disseminat"
    r"|empfänger|adressat|irrtümlich|unbefugt|destinataire|par erreur|interdit"
)
# By the program that sent it, below a line.
ADVERTISEMENT = (
    r"(?i)\n[ \t]*_{9,}[ \t]*\n(?:[ \t]*\n)*[ \t]*(?:do you yahoo|get (?:your|free|more)|join the world|chat with friends|express yourself"
    r"|send (?:and receive|free)|kostenlos|gratis)(?s:.*)"
)


class Config(Section):
    kind: Literal["mail_signature"] = "mail_signature"


def apply(text, config):
    """[N] string -> [N] string, cut at the line "-- ", at a closing line ("Best regards," ..., "Thanks - Ann") followed
    only by names, titles, addresses and telephone numbers, or at a name with such lines below it.

    A name alone needs an empty line and a complete sentence above it. Also removes a closing with its name above a
    postscript, lines like "Sent from my iPhone", a disclaimer and a mail service's advertisement. A closing that is
    followed by sentences or questions stays, and so does a closing without text above it. Recognizes closings in the
    languages of western Europe, Polish, Czech, Finnish, Turkish and Russian. Needs line breaks and capitals: put it
    before `whitespace` and `casefold`. Idempotent.

    "See you.\\n\\nBest regards,\\nAnn\\n+49 30 1234" -> "See you.";  "It is at five.\\n\\nAnn" -> "It is at five."
    """
    import tensorflow as tf

    text = tf.strings.regex_replace(text, "\r\n", "\n")
    text = tf.strings.regex_replace(text, SENT_FROM, "")
    text = tf.strings.regex_replace(text, ADVERTISEMENT, "", replace_global=False)
    rest = tf.strings.regex_replace(text, DISCLAIMER, "", replace_global=False)
    text = tf.where(contains(end_of(text, rest), LEGAL), rest, text)
    text = tf.strings.regex_replace(text, SEPARATED, "", replace_global=False)
    text = tf.strings.regex_replace(text, INSIDE, r"\1")
    text = tf.strings.regex_replace(text, CLOSED, "", replace_global=False)
    rest = tf.strings.regex_replace(text, NAMED, "", replace_global=False)
    signature = end_of(text, rest)
    is_signature = (contains(rest, COMPLETE) | contains(signature, NUMBERED)) & ~contains(rest, ANNOUNCED)
    return tf.where(is_signature & ~contains(signature, rf"\A\s*{words.NO_NAME}"), rest, text)


def end_of(text, start):
    """What follows in texts behind their starts: [N], [N] string -> [N] string."""
    import tensorflow as tf

    size = tf.strings.length(start)
    return tf.strings.substr(text, size, tf.strings.length(text) - size)
