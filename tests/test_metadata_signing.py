"""Clips signed by C2PA with certificates made here. Each test names, in its docstring or its name, what it would notice breaking."""

import logging
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fashionflow.generation.saved_settings import first_frame, read_provenance
from fashionflow.video.export import Export, export
from fashionflow.video.metadata import CERTIFICATE_VARIABLE, KEY_VARIABLE, SOURCE_TYPE, check_signing, sign

from .saved_clips import SETTINGS, clip


def certificates(folder: Path, private, days: int = 9) -> dict[str, str]:
    """A certificate chain for `private` that C2PA's profile allows, and its key, as the environment names them."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    root = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def name(common: str):
        return x509.Name(
            [
                x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "FashionFlow's tests"),
                x509.NameAttribute(x509.NameOID.COMMON_NAME, common),
            ]
        )

    def certificate(common: str, public, authority: bool):
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        usage |= {"decipher_only": False, "digital_signature": not authority}
        usage |= {"key_cert_sign": authority, "crl_sign": authority}
        builder = (
            x509.CertificateBuilder(name("root"), name(common), public, x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(authority, None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        )
        if not authority:
            mail = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(mail, critical=False)
        return builder.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(certificate("page", private.public_key(), False) + certificate("root", root.public_key(), True))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    key.write_bytes(private.private_bytes(*form))
    return {CERTIFICATE_VARIABLE: str(chain), KEY_VARIABLE: str(key)}


@pytest.fixture
def c2pa():
    return pytest.importorskip("c2pa", reason="c2pa-python is not installed")


def configure(monkeypatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def private_key(kind: str):
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key({"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}[kind]())


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA"])
def test_signed_files_name_their_source_and_keep_their_settings(tmp_path, monkeypatch, c2pa, kind):
    configure(monkeypatch, certificates(tmp_path, private_key(kind)))
    assert check_signing()
    made = clip(tmp_path / "clip.mp4", SETTINGS)
    assert sign(made) == made
    files = {made: "video/mp4"}
    if kind == "P-256":
        files |= {
            export(made, Export("gif"), tmp_path): "image/gif",
            export(made, Export("webp"), tmp_path): "image/webp",
        }
    for path, media_type in files.items():
        with path.open("rb") as file, c2pa.Reader(media_type, file) as reader:
            manifest, state = reader.get_active_manifest(), reader.get_validation_state()
        assert state in ("Valid", "Trusted")
        actions = next(part for part in manifest["assertions"] if part["label"].startswith("c2pa.actions"))["data"][
            "actions"
        ]
        assert [(action["action"], action["digitalSourceType"]) for action in actions] == [
            ("c2pa.created", SOURCE_TYPE)
        ]
        assert manifest["claim_generator_info"][0]["name"] == "FashionFlow"
        assert "time" not in manifest["signature_info"] and "thumbnail" not in manifest
        assert read_provenance(path) == SETTINGS and first_frame(path).size == (48, 64)
    assert not list(tmp_path.glob(".*"))


def test_a_changed_file_is_noticed(tmp_path, monkeypatch, c2pa):
    configure(monkeypatch, certificates(tmp_path, private_key("P-256")))
    content = bytearray(sign(clip(tmp_path / "clip.mp4", SETTINGS)).read_bytes())
    content[content.rindex(b"mdat") + 40] ^= 1
    (tmp_path / "changed.mp4").write_bytes(content)
    with (tmp_path / "changed.mp4").open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_nothing_is_signed_without_a_certificate(tmp_path, monkeypatch):
    for variable in (CERTIFICATE_VARIABLE, KEY_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    assert not check_signing()
    path = clip(tmp_path / "clip.mp4", SETTINGS)
    before = path.read_bytes()
    assert sign(path).read_bytes() == before


def test_wrong_certificates_are_one_sentence_and_no_lost_clip(tmp_path, monkeypatch, caplog, c2pa):
    good, other, late = (tmp_path / name for name in ("good", "other", "late"))
    for folder in (good, other, late):
        folder.mkdir()
    right = certificates(good, private_key("P-256"))
    no_pem = tmp_path / "text.pem"
    no_pem.write_text("no certificate")
    wrong = [
        right | {KEY_VARIABLE: certificates(other, private_key("P-256"))[KEY_VARIABLE]},
        certificates(late, private_key("P-256"), days=-1),
        right | {KEY_VARIABLE: str(no_pem)},
        right | {CERTIFICATE_VARIABLE: str(no_pem)},
        right | {CERTIFICATE_VARIABLE: str(tmp_path / "absent.pem")},
        right | {KEY_VARIABLE: ""},
    ]
    path = clip(tmp_path / "clip.mp4", SETTINGS)
    before = path.read_bytes()
    for variables in wrong:
        configure(monkeypatch, variables)
        with pytest.raises(
            ValueError, match=r"^(The certificate in|FASHIONFLOW_C2PA_).*FASHIONFLOW_C2PA_|must name a PEM file"
        ):
            check_signing()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert sign(path).read_bytes() == before
        assert "clip.mp4 was not signed" in caplog.text
    assert not list(tmp_path.glob(".*"))


def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch):
    configure(monkeypatch, {CERTIFICATE_VARIABLE: "chain.pem", KEY_VARIABLE: "key.pem"})
    monkeypatch.setitem(sys.modules, "c2pa", None)  # as Python marks what cannot be imported
    with pytest.raises(ValueError, match="^Signing needs the package c2pa-python; install it, or unset"):
        check_signing()
