"""A scripted FTP client on Python's ftplib.

    ftplib_client.py JOB.json

The job names the address, the login, the protection and a list of steps; every step runs in one session. The
first failing step ends the run with its reason on standard error. Nothing here prints the password.
"""

import ftplib
import json
import os
import ssl
import sys

TIMEOUT_S = 60


class ImplicitFtpTls(ftplib.FTP_TLS):
    """FTP_TLS whose control connection is TLS from its first byte."""

    _socket = None

    @property
    def sock(self):
        return self._socket

    @sock.setter
    def sock(self, value):
        if value is not None and not isinstance(value, ssl.SSLSocket):
            value = self.context.wrap_socket(value, server_hostname=self.host)
        self._socket = value


def tls_context(job):
    context = ssl.create_default_context(cafile=job["ca_file"])
    version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[job["tls_version"]]
    context.minimum_version = context.maximum_version = version
    return context


def log_in(job):
    if job["tls"] == "off":
        ftp = ftplib.FTP(timeout=TIMEOUT_S, encoding="utf-8")
    else:
        kind = {"explicit": ftplib.FTP_TLS, "implicit": ImplicitFtpTls}[job["tls"]]
        ftp = kind(context=tls_context(job), timeout=TIMEOUT_S, encoding="utf-8")
    ftp.set_pasv(job["passive"])
    ftp.connect(job["host"], job["port"])
    if job["tls"] == "explicit":
        ftp.auth()
    # FTP_TLS.login would say AUTH by itself, and the implicit connection needs none.
    ftplib.FTP.login(ftp, job["user"], job["password"])
    if job["tls"] != "off":
        ftp.prot_p()
    return ftp


def put(ftp, step):
    with open(step["local"], "rb") as source:
        if step["how"] == "text":
            ftp.storlines(f"STOR {step['remote']}", source)
        elif step["how"] == "resume":
            ftp.voidcmd("TYPE I")
            offset = ftp.size(step["remote"])
            source.seek(offset)
            ftp.storbinary(f"STOR {step['remote']}", source, rest=offset)
        else:
            ftp.storbinary(f"STOR {step['remote']}", source)


def append(ftp, step):
    with open(step["local"], "rb") as source:
        ftp.storbinary(f"APPE {step['remote']}", source)


def get(ftp, step):
    if step["how"] == "text":
        with open(step["local"], "w", encoding="utf-8", newline="\n") as sink:
            ftp.retrlines(f"RETR {step['remote']}", lambda line: sink.write(line + "\n"))
    elif step["how"] == "resume":
        offset = os.path.getsize(step["local"])
        with open(step["local"], "ab") as sink:
            ftp.retrbinary(f"RETR {step['remote']}", sink.write, rest=offset)
    else:
        with open(step["local"], "wb") as sink:
            ftp.retrbinary(f"RETR {step['remote']}", sink.write)


def listing(ftp, step):
    lines = []
    if step["form"] == "long":
        ftp.retrlines(f"LIST {step['folder']}", lines.append)
    elif step["form"] == "names":
        ftp.retrlines(f"NLST {step['folder']}", lines.append)
    else:
        ftp.retrlines(f"MLSD {step['folder']}", lines.append)
    with open(step["local"], "w", encoding="utf-8") as sink:
        sink.writelines(line + "\n" for line in lines)


def abort(ftp, step):
    """Gives a download up after its first bytes, by ABOR and by closing the data connection."""
    ftp.voidcmd("TYPE I")
    data = ftp.transfercmd(f"RETR {step['remote']}")
    assert data.recv(1024), "the download had begun"
    ftp.putcmd("ABOR")
    data.close()
    # Servers answer 426 and 226, or 426 and 225, or one of them: the answer to NOOP is where they agree again.
    ftp.putcmd("NOOP")
    replies = [ftp.getmultiline()]
    while not replies[-1].startswith("200"):
        assert len(replies) < 4, replies
        replies.append(ftp.getmultiline())
    assert any(reply[:3] in ("225", "226", "426") for reply in replies), replies


def refused(ftp, step):
    """Expects a reply code where a download would begin, and goes on."""
    try:
        ftp.retrbinary(f"RETR {step['remote']}", lambda block: None)
    except (ftplib.Error, ssl.SSLError, OSError) as error:
        reply = str(error) if isinstance(error, ftplib.Error) else ftp.getmultiline()
        assert reply.startswith(step["code"]), reply
        return
    raise AssertionError(f"{step['remote']} was sent, where {step['code']} was due")


STEPS = {
    "put": put,
    "append": append,
    "get": get,
    "list": listing,
    "abort": abort,
    "refused": refused,
    "make_folder": lambda ftp, step: ftp.mkd(step["folder"]),
    "remove_folder": lambda ftp, step: ftp.rmd(step["folder"]),
    "rename": lambda ftp, step: ftp.rename(step["from"], step["to"]),
    "delete": lambda ftp, step: ftp.delete(step["remote"]),
}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    ftp = log_in(job)
    for step in job["steps"]:
        try:
            STEPS[step["do"]](ftp, step)
        except Exception as error:
            sys.exit(f"{step}: {type(error).__name__}: {error}")
    ftp.quit()


try:
    main()
except ftplib.Error as error:
    sys.exit(f"{type(error).__name__}: {error}")
