"""Sends messages to the port that it is given, in the ways that smtplib has."""

import smtplib
import sys
from email.message import EmailMessage

message = EmailMessage()
message["From"] = "Jörg <joerg@x.test>"
message["To"] = "smtplib@x.test"
message["Subject"] = "Grüße €"
message.set_content(".dot\nText €")
message.add_alternative("<p>Text €</p>", subtype="html")
message.add_attachment(bytes(range(256)), maintype="application", subtype="octet-stream", filename="größe.bin")

with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    client.login("user", "password")
    assert client.has_extn("size") and client.has_extn("8bitmime") and client.has_extn("smtputf8")
    assert client.verify("anyone")[0] == 252
    client.send_message(message)
    client.mail("a@x.test")
    client.rcpt("vielleicht@x.test")
    assert client.rset()[0] == 250
    client.sendmail("a@x.test", ["jörg@x.test"], b"Subject: 8 bit\r\n\r\n\xe4\r\n", mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    try:
        client.sendmail("a@x.test", ["b@x.test"], b"x" * 11_000_000)
        raise AssertionError("a message that is too large was taken")
    except (smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as refused:
        assert refused.smtp_code == 552
print("sent")
