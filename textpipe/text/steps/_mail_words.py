"""Headers and separators that Outlook, Gmail, Apple Mail and Thunderbird write around a quoted or forwarded mail, by
language.

Case-insensitive patterns in RE2's syntax.
"""

from textpipe.text.steps._search import contains

FROM = (
    "from|von|de|da|van|från|fra|lähettäjä|od|nadawca|от|от кого|відправник|від|kimden|gönderen|feladó|de la|από"
    "|expéditeur|remitente|mittente|remetente|afzender|avsändare|afsender|avsender|odesílatel|pošiljatelj"
    "|差出人|送信者|发件人|發件人|寄件者|寄件人|보낸 사람|보낸사람|발신|từ|dari|จาก|מאת|من"
)
DATE = (
    "sent|date|date sent|gesendet|gesendet am|datum|envoyé|envoyé le|fecha|enviado|enviado el|enviada em|enviado em|data"
    "|inviato|data invio|verzonden|skickat|sendt|dato|lähetetty|päivämäärä|päiväys|wysłano|data wysłania|odesláno|poslano"
    "|отправлено|дата|надіслано|gönderildi|gönderilme|gönderme tarihi|tarih|elküldve|küldve|dátum|trimis|dată"
    "|στάλθηκε|ημερομηνία|送信日時|日付|日時|发送时间|发送日期|發送時間|傳送時間|寄件日期|傳送日期|日期|时间|時間"
    "|보낸 날짜|보낸날짜|날짜|발송 날짜|đã gửi|ngày|dikirim|tanggal|ส่ง|วันที่|נשלח|תאריך|تاريخ الإرسال|التاريخ"
)
SUBJECT = (
    "subject|re|betreff|objet|asunto|oggetto|assunto|onderwerp|ämne|emne|aihe|otsikko|temat|předmět|predmet|тема|konu"
    "|tárgy|subiect|θέμα|件名|主题|主題|主旨|제목|chủ đề|subjek|perihal|เรื่อง|נושא|الموضوع"
)
OTHER = (
    "to|cc|bcc|reply-to|reply to|importance|priority|attachments|organization|an|kopie|antwort an|wichtigkeit|anlagen|à|a"
    "|copie à|pièces jointes|répondre à|para|cco|responder a|per|rispondi a|aan|beantwoorden|till|kopia|til|kopi"
    "|vastaanottaja|kopio|do|dw|adresat|komu|kopie|za|кому|копия|копія|kime|alıcı|bilgi|címzett|másolatot kap|către|προς"
    "|κοιν|宛先|返信先|收件人|收件者|副本|抄送|回复|받는 사람|받는사람|참조|수신|tới|kepada|ถึง|אל|עותק|إلى|نسخة"
)
ORIGINAL = (
    "original message|reply separator|original appointment|replied message|reply message|original email|original-nachricht"
    "|ursprüngliche nachricht|ursprüngliche mail|originalnachricht|original nachricht|message d['’]origine|message original"
    "|message initial|mensaje original|messaggio originale|messaggio originario|mensagem original"
    "|oorspronkelijk bericht|oorspronkelijke bericht|origineel bericht|ursprungligt meddelande|originalmeddelande"
    "|oprindelig meddelelse|original meddelelse|oprindelig besked|original melding|opprinnelig melding|alkuperäinen viesti"
    "|wiadomość oryginalna|oryginalna wiadomość|původní zpráva|původní e-mail|pôvodná správa|исходное сообщение"
    "|оригинальное сообщение|вихідне повідомлення|оригінальне повідомлення|orijinal mesaj|özgün ileti|orijinal ileti"
    "|eredeti üzenet|mesaj original|mesajul original|αρχικό μήνυμα|izvorna poruka|元のメッセージ|オリジナルメッセージ"
    "|邮件原件|原始邮件|原始郵件|原始消息|回复的原邮件|원본 메시지|원본 메일|원래 메시지|원본메일"
)
FORWARDED = (
    "forwarded message|forwarded email|fwd message|weitergeleitete nachricht|weitergeleitete mail|weitergeleitete e-mail"
    "|message transféré|message réexpédié|courriel transféré|mensaje reenviado|messaggio inoltrato|messaggio in inoltro"
    "|mensagem encaminhada|mensagem reencaminhada|doorgestuurd bericht|doorgezonden bericht|vidarebefordrat meddelande"
    "|vidarebefordrat mejl|vidarebefordrat mail|videresendt meddelelse|videresendt besked|videresendt melding"
    "|videresendt e-post|videresendt mail|välitetty viesti|edelleenlähetetty viesti|lähetetty edelleen"
    "|treść przekazanej wiadomości|wiadomość przekazana dalej|przekazana wiadomość|wiadomość przekazana|přeposlaná zpráva"
    "|preposlaná správa|пересылаемое сообщение|пересланное сообщение|перенаправленное сообщение"
    "|переадресованное сообщение|переслане повідомлення|iletilmiş mesaj|iletilen mesaj|yönlendirilmiş mesaj"
    "|yönlendirilen mesaj|yönlendirilmiş ileti|továbbított üzenet|továbbított levél|mesaj redirecționat|mesaj redirecţionat"
    "|προωθημένο μήνυμα|proslijeđena poruka|転送メッセージ|転送されたメッセージ|転送メール|转发的消息|转发的邮件|转发邮件"
    "|轉寄的郵件|轉寄郵件|轉寄訊息|已转发邮件|转发的原邮件|전달된 메시지|전달된 메일|전달 메시지|전달된메시지"
    "|missatge reenviat|thư đã chuyển tiếp|pesan terusan"
)
# Apple Mail's separators, without dashes and with a colon.
BEGIN_FORWARDED = (
    "begin forwarded message|anfang der weitergeleiteten nachricht|anfang der weitergeleiteten e-mail"
    "|début du message réexpédié|début du message transféré|inicio del mensaje reenviado|inizio messaggio inoltrato"
    "|início da mensagem reencaminhada|início da mensagem encaminhada|begin doorgestuurd bericht|begin van doorgestuurd bericht"
    "|vidarebefordrat brev|börjar vidarebefordrat brev|början på vidarebefordrat brev|start på videresendt besked"
    "|videresendt brev|start på videresendt melding|videresendt melding|välitetty viesti|välitetty viesti alkaa"
    "|początek przekazywanej wiadomości|začátek přeposílané zprávy|začátek přeposlané zprávy"
    "|начало переадресованного сообщения|начало переадресованного письма|iletilen ileti başlangıcı|iletilen e-posta başlangıcı"
    "|yönlendirilen ileti başlangıcı|továbbított levél kezdete|転送されたメッセージ|转发邮件开始|下面是被转发的邮件|以下是轉寄的郵件|開始轉寄郵件"
    "|전달된 메시지|아래는 전달된 메시지"
)
# Around a header's name in a quoted mail, which may be bold.
START, END = r"(?:[ \t*_\x{200e}\x{200f}]|=09|=20)*", r"[*_]*[ \t\x{a0}]*[:：]"
DASHES = r"[-=*_]{2,}"
ORIGINAL_LINE = rf"(?im)^[ \t]*{DASHES}[ \t]*(?:{ORIGINAL})[ \t]*:?[ \t]*{DASHES}[ \t]*$"
FORWARD_LINE = (
    rf"(?im)^[ \t]*(?:{DASHES}[ \t]*(?:{FORWARDED}|forwarded by [^\n]*)[ \t]*[:：]?[ \t]*[-=*_]*"
    rf"|\**(?:{BEGIN_FORWARDED})[ \t\x{{a0}}]*[:：]\**)[ \t]*$"
)
# Noncharacters that mark the type of a line while a step runs: RE2 rejects patterns that repeat the words of all
# languages.
OF_FROM, OF_SUBJECT, OF_DATE, OF_OTHER, OF_FORWARD, OF_ORIGINAL = (
    "\ufdd2",
    "\ufdd3",
    "\ufdd4",
    "\ufdd5",
    "\ufdd6",
    "\ufdd7",
)
MARKERS = "\ufdd2-\ufdd7"
# A header continues in indented lines, or in one that lists addresses. Text made from HTML has empty lines between
# headers.
CONTINUATION = rf"(?:\n[ \t]+[^\n]+|\n[^\n:{MARKERS}]*[;@][^\n:]*)*"
NEXT_LINE = r"\n(?:[ \t]*\n)?"
RULE = r"[ \t]*[_=\-]{5,}[ \t]*"


NAME = r"[^\s:：>|<0-9=.,;/()&#%$\"!?\[\]{}]{1,20}"
COLON = rf"[ \t*_]*{NAME}(?: {NAME}){{0,2}}[*_]*[ \t\x{{a0}}]*[:：](?:[^/\n][^\n]*)?"
LIKELY = rf"(?m)^{COLON}\n(?:[ \t]*\n|[ \t][^\n]*\n)?{COLON}$"


def header_line(markers: str) -> str:
    """A pattern for a header line with one of the markers, and its continuation lines."""
    return rf"[{markers}][^\n]*{CONTINUATION}"


HEADER = header_line(OF_FROM + OF_SUBJECT + OF_DATE + OF_OTHER)

# Headers of the quoted mail below an answer: at least three, beginning with the sender and including the date or
# subject.
ANSWERED = (
    rf"(?m)^(?:{RULE}\n(?:[ \t]*\n)*)?{header_line(OF_FROM)}{NEXT_LINE}"
    rf"(?:{header_line(OF_DATE)}{NEXT_LINE}{HEADER}"
    rf"|(?:{HEADER}{NEXT_LINE}){{1,5}}?{header_line(OF_DATE + OF_SUBJECT)})(?s:\n.*|\z)"
)
# If only these words, or the separator of a forwarded mail, are above it, the mail below is forwarded.
NOTE = (
    r"(?:(?:hi|hello|hey|hallo|bonjour|salut|hola|ciao)(?:[ \t]+[^\s,.!?]+){0,3}|fyi|f\.y\.i\.|fwd|fw|see (?:the )?(?:below|attached|mail below|e-?mail below)|please see (?:below|the mail below)"
    r"|for your information|forwarding|zur info|zur information|zur kenntnis|z\. ?k\.|zk|siehe unten|s\. ?u\."
    r"|pour info(?:rmation)?|voir ci-dessous|para su información|para tu información|ver abajo|per conoscenza|vedi sotto"
    r"|para conhecimento|ver abaixo|ter info(?:rmatie)?|zie onder|zie hieronder|for kännedom|för kännedom|til orientering"
    r"|tiedoksi|do wiadomości|pro informaci|для информации|к сведению|bilginize|ご参考まで|参考|请参阅|供参考|참고)"
)
PASSED_ON = rf"(?is)\s*(?:{NOTE}[\s.!:,…-]*)*|.*{OF_FORWARD}[^\n]*\s*|\s*{OF_ORIGINAL}[^\n]*\s*"
# Words that stand alone and capitalized on a line as a name does, and are none.
NO_NAME = (
    r"(?i:yes|no|yep|nope|yeah|ok|okay|sure|thanks?|thx|agreed|done|great|good|fine|right|correct|exactly|perfect|please"
    r"|sorry|welcome|well|also|however|so|but|and|note|attached|attention|subject|re|fyi|ps|summary|agenda|update|question|regards|best"
    r"|cheers|kind|sincerely|cordially|to|from|cc|date|sent|ja|nein|doch|danke|gut|gern|gerne|bitte|genau|anbei|viele|oui|non|merci|voici"
    r"|sí|si|gracias|grazie|never|always|maybe|perhaps|today|tomorrow|tonight|none|nothing|both|neither|either"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|montags?|dienstags?|mittwochs?|donnerstags?|freitags?|samstags?|sonntags?|heute|morgen|vielleicht)\b"
)


def mark_headers(text):
    """Put markers before sender and subject lines, and in texts that have them before other headers and separators too.

    [N] string -> the marked texts [M] string, and their indices [M, 1].
    """
    import tensorflow as tf

    # Few texts have two consecutive lines that could be headers; the others skip the expensive search for header names.
    likely = tf.where(contains(text, LIKELY))  # [L, 1]
    unmarked = tf.gather_nd(text, likely)
    marked = unmarked
    for mark, names in ((OF_FROM, FROM), (OF_SUBJECT, SUBJECT)):
        marked = tf.strings.regex_replace(marked, rf"(?im)^{START}(?:{names}){END}", mark + r"\0")
    changed = tf.where(marked != unmarked)  # [M, 1]
    marked, indices = tf.gather_nd(marked, changed), tf.gather_nd(likely, changed)
    for mark, names in ((OF_DATE, DATE), (OF_OTHER, OTHER)):
        marked = tf.strings.regex_replace(marked, rf"(?im)^{START}(?:{names}){END}", mark + r"\0")
    marked = tf.strings.regex_replace(marked, FORWARD_LINE, OF_FORWARD + r"\0")
    marked = tf.strings.regex_replace(marked, ORIGINAL_LINE, OF_ORIGINAL + r"\0")
    return marked, indices


# A line of dashes with words behind them, a header line above another, or a line of recipients.
SEPARATED = rf"(?m)^[ \t]*(?:{DASHES}[ \t]*[^\s\-=*_]|(?:=09|=20|[ \t])*(?:To|An):)|{LIKELY}"


def mark_lines(text):
    """Put markers before all headers and separators of texts that may have any.

    [N] string -> the marked texts [M] string, and their indices [M, 1]. Finds more texts than `mark_headers`: those
    with a separator alone, too.
    """
    import tensorflow as tf

    indices = tf.where(contains(text, SEPARATED))  # [M, 1]
    marked = tf.gather_nd(text, indices)
    for mark, names in ((OF_FROM, FROM), (OF_SUBJECT, SUBJECT), (OF_DATE, DATE), (OF_OTHER, OTHER)):
        marked = tf.strings.regex_replace(marked, rf"(?im)^{START}(?:{names}){END}", mark + r"\0")
    marked = tf.strings.regex_replace(marked, FORWARD_LINE, OF_FORWARD + r"\0")
    return tf.strings.regex_replace(marked, ORIGINAL_LINE, OF_ORIGINAL + r"\0"), indices


def remove_markers(text):
    """The texts without markers: [M] string -> [M] string."""
    import tensorflow as tf

    return tf.strings.regex_replace(text, f"[{MARKERS}]", "")


def split_answered_mail(marked):
    """The text above the headers of a quoted mail, and whether it is an answer to that mail.

    [M] string with markers -> [M] string, [M] bool. A mail below a separator of forwarded mails, or without any other
    text above it, is forwarded and not answered.
    """
    import tensorflow as tf

    answer = tf.strings.regex_replace(marked, ANSWERED, "", replace_global=False)
    return answer, ~tf.strings.regex_full_match(answer, PASSED_ON) & (answer != marked)
