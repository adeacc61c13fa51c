"""Certificates and keys in upstreams.conf are looked at when it is read."""

import os

import pytest

from certificates import Authorities, openssl
from fanoutd_process import run_fanoutd, section

HTTPS = "https://127.0.0.1:9/"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    return Authorities(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def check(config_file):
    """check(url, option=value…): what -t says about the section, without file and name."""

    def run(url, **settings):
        quoted = {
            name: value if name == "tls_verify" else f'"{value}"'
            for name, value in settings.items()
        }
        path = config_file("\n", section("users", url, **quoted))
        done = run_fanoutd("-t", path)
        assert (done.returncode == 0) == (done.stderr == ""), done
        place = f"{path}:3: upstream users: "
        lines = done.stderr.splitlines()
        assert all(line.startswith(place) for line in lines), done.stderr
        return done.stdout if done.returncode == 0 else [line[len(place) :] for line in lines]

    return run


def test_good_files_are_shown(check, authorities):
    client = authorities.client
    shown = check(HTTPS, ca=authorities.root.alone, cert=client.chain, key=client.key)

    for name, path in ("ca", authorities.root.alone), ("cert", client.chain), ("key", client.key):
        assert any(
            line.split(" = ")[0].strip() == name and line.split(" = ")[1].startswith(f'"{path}"')
            for line in shown.splitlines()
            if " = " in line
        ), shown


def test_the_systems_own_authorities_can_be_named(check):
    path = "/etc/ssl/certs/ca-certificates.crt"
    if not os.path.exists(path):
        pytest.skip("no authorities here (package ca-certificates)")
    assert path in check(HTTPS, ca=path)


def test_certificate_and_key_may_be_one_file(check, authorities, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(authorities.client.key.read_text() + authorities.client.chain.read_text())
    assert f'"{both}"' in check(HTTPS, cert=both, key=both)


@pytest.mark.parametrize("kind", ["RSA", "EC PARAMETERS", "PKCS#1"])
def test_keys_of_other_kinds(check, authorities, tmp_path, kind):
    key = tmp_path / "other.key"
    if kind == "EC PARAMETERS":
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-out", key)
    else:
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    if kind == "PKCS#1":
        openssl("rsa", "-traditional", "-in", key, "-out", key)
    assert f'"{key}"' in check(HTTPS, cert=authorities.client.chain, key=key)


@pytest.mark.parametrize("form", [["-aes256"], ["-aes256", "-traditional"]])
def test_a_key_that_needs_a_password(check, authorities, tmp_path, form):
    key = tmp_path / "secret.key"
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("rsa", *form, "-passout", "pass:secret", "-in", key, "-out", key)

    (said,) = check(HTTPS, cert=authorities.client.chain, key=key)
    assert said.endswith("': the key needs a password, and there is nobody to ask for it")


def test_wrong_files(check, authorities, tmp_path):
    root, key = authorities.root.alone, authorities.client.key
    text = root.read_text()
    files = {
        "empty": "",
        "words": "no PEM at all\n",
        "der": "0\x82\0\0",
        "cut": text[: len(text) // 2],
        "short": "\n".join(line for n, line in enumerate(text.splitlines()) if n != 2),
        "bytes": text.replace(text.splitlines()[1][:4], "****", 1),
        "second": text + text.replace(text.splitlines()[3], "", 1),
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    os.symlink(tmp_path, tmp_path / "directory")
    os.mkfifo(tmp_path / "fifo")
    no_certificate = "has no '-----BEGIN CERTIFICATE-----': not a PEM file of that kind"
    line = text.count("\n") + 1
    expected = {
        "none/such": "can't be read: No such file or directory",
        "directory": "can't be read: this is not a regular file",
        "fifo": "can't be read: this is not a regular file",
        "empty": no_certificate,
        "words": no_certificate,
        "der": "not a PEM file (a NUL byte)",
        "cut": "the CERTIFICATE that begins in its line 1 is damaged",
        "short": "the CERTIFICATE that begins in its line 1 is damaged",
        "bytes": "the CERTIFICATE that begins in its line 1 is damaged",
        "second": f"the CERTIFICATE that begins in its line {line} is damaged",
    }

    for name, words in expected.items():
        (said,) = check(HTTPS, ca=tmp_path / name)
        assert said.endswith(f"': {words}"), (name, said)
    assert check(HTTPS, ca=key)[0].endswith(no_certificate)
    (said,) = check(HTTPS, cert=authorities.client.chain, key=root)
    assert said.endswith("has no '-----BEGIN PRIVATE KEY-----': not a PEM file of that kind")


def test_a_path_must_be_whole(check):
    assert check(HTTPS, ca="ca.pem") == [
        "ca 'ca.pem': must be system, or a PEM file with its full path, like /etc/fanoutd/ca.pem"
    ]


def test_certificate_and_key_belong_together(check, authorities):
    client = authorities.client
    assert check(HTTPS, cert=client.chain) == ["cert needs key as well (it may be the same file)"]
    assert check(HTTPS, key=client.key) == ["key needs cert as well (it may be the same file)"]


def test_options_of_tls_are_for_https_alone(check, authorities):
    client = authorities.client
    settings = {
        "ca": authorities.root.alone,
        "cert": client.chain,
        "key": client.key,
        "tls_verify": False,
    }
    assert check("http://127.0.0.1:9/", **settings) == [
        f"{name} is for https:// upstreams, and the url is http://" for name in settings
    ]


def test_a_default_that_is_written_down_is_no_error(check):
    assert "tls_verify" in check(
        "http://127.0.0.1:9/", ca="system", cert="none", key="none", tls_verify=True
    )


def test_defaults_of_tls_hold_for_https_alone(config_file, authorities):
    client = authorities.client
    path = config_file(
        f'defaults {{ ca = "{authorities.root.alone}" cert = "{client.chain}" key = "{client.key}" }}',
        section("plain", "http://127.0.0.1:9/"),
        section("safe", HTTPS),
    )

    done = run_fanoutd("-t", path)

    assert done.returncode == 0, done.stderr
    plain, safe = done.stdout.split("\nupstream safe")
    for name in (authorities.root.alone, client.chain, client.key):
        assert f'"{name}"' not in plain and f'"{name}"' in safe


def test_a_pair_that_defaults_leave_incomplete_is_said_once(config_file, authorities):
    path = config_file(
        f'defaults {{ cert = "{authorities.client.chain}" }}',
        section("one", HTTPS),
        section("two", HTTPS),
    )

    done = run_fanoutd("-t", path)

    (said,) = done.stderr.splitlines()
    assert said.endswith(": defaults: cert needs key as well (it may be the same file)")
