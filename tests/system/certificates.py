"""Certificates of any kind, made on the fly by the openssl command."""

import datetime
import pathlib
import subprocess

CONFIG = """
[ca]
default_ca = this
[this]
database = {directory}/database
new_certs_dir = {directory}
default_md = sha256
policy = anything
copy_extensions = none
unique_subject = no
rand_serial = yes
[anything]
commonName = supplied
[req]
distinguished_name = name
[name]
"""


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def day(offset):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)
    return when.strftime("%Y%m%d%H%M%SZ")


class Certificate:
    """PEM files: the certificate, its chain (without the root), and its key."""

    def __init__(self, authorities, name, issuer, extensions, days=(-2, 2)):
        self.name = name
        number = len(list(authorities.directory.glob("*.key")))
        stem = authorities.directory / f"{number}-{name.replace(' ', '-')}"
        self.key = stem.with_suffix(".key")
        self.alone = stem.with_suffix(".pem")
        self.chain = stem.with_suffix(".chain.pem")
        request, wanted = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        config = authorities.directory / "openssl.conf"
        wanted.write_text("\n".join(extensions) + "\n")
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-out", self.key)  # fmt: skip
        openssl("req", "-new", "-config", config, "-key", self.key, "-subj", f"/CN={name}",
                "-out", request)  # fmt: skip
        signer = ["-selfsign", "-keyfile", self.key]
        if issuer is not None:
            signer = ["-cert", issuer.alone, "-keyfile", issuer.key]
        openssl("ca", "-batch", "-notext", "-config", config, "-in", request,
                "-out", self.alone, "-extfile", wanted, "-startdate", day(days[0]),
                "-enddate", day(days[1]), *signer)  # fmt: skip
        self.chain.write_text(self.alone.read_text() + self._rest_of_chain(issuer))

    @staticmethod
    def _rest_of_chain(issuer):
        if issuer is None or issuer.is_root:
            return ""
        return issuer.chain.read_text()

    is_root = False


class Authorities:
    """A root, an intermediate below it, and what that one issues."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        (self.directory / "database").write_text("")
        (self.directory / "openssl.conf").write_text(CONFIG.format(directory=self.directory))
        is_authority = ["basicConstraints=critical,CA:true", "keyUsage=critical,keyCertSign"]
        self.root = Certificate(self, "root", None, is_authority)
        self.root.is_root = True
        self.other_root = Certificate(self, "other root", None, is_authority)
        self.other_root.is_root = True
        self.intermediate = Certificate(self, "intermediate", self.root, is_authority)
        self.server = self.issue()
        self.client = self.issue("client", usage="clientAuth")

    def issue(self, name="users.test", also="DNS:users.test,IP:127.0.0.1,IP:127.0.0.2",
              usage="serverAuth", days=(-2, 2), issuer=None):  # fmt: skip
        extensions = [
            "basicConstraints=CA:false",
            f"extendedKeyUsage={usage}",
            f"subjectAltName={also}",
        ]
        return Certificate(self, name, issuer or self.intermediate, extensions, days)

    def issue_self_signed(self):
        return Certificate(self, "users.test", None, ["subjectAltName=IP:127.0.0.1"])
