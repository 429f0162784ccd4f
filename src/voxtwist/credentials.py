"""Credentials: what must never be shown on a terminal, or logged."""

import re
from pathlib import PurePosixPath

# Names of files that hold keys and passwords, whatever the folder. `tokens.py` is none.
_SECRET_NAMES = re.compile(
    r"""
      \.env(\..*|rc)?            # .env, .env.local, .envrc
    | .*\.env
    | [._]netrc | \.pgpass | \.npmrc | \.pypirc | \.git-credentials | \.htpasswd | \.dockercfg
    | \.?aws | \.ssh | \.gnupg | \.kube                                    # folders
    | id_(rsa|dsa|ecdsa|ed25519)(_sk)?(\..*)?
    | .*\.(pem|key|p12|pfx|jks|keystore|kdbx|asc|gpg|ppk|ovpn)
    | .*(secret|credential|password|passwd|private[-_]?key|service[-_]?account|api[-_]?key).*
    | (.*[-_.])?token(\.(txt|json|ya?ml))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Keys that their makers gave a recognisable form.
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS
    r"|\bhf_[A-Za-z]{30,}\b"  # Hugging Face
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_\w{50,}\b"
    r"|\bglpat-[\w-]{20,}"  # GitLab
    r"|\bsk-[A-Za-z0-9_-]{32,}"  # OpenAI and alike
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"  # Slack
    r"|\bAIza[\w-]{35}\b"  # Google
    r"|://[^\s/:@'\"]+:[^\s/@'\"]{3,}@"  # user:password of an address
)
_ADDRESS = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@'\"<>]+@")


def masked(text: str) -> str:
    """`https://user:password@host/path` as `https://***@host/path`, everywhere in a text."""
    return _ADDRESS.sub(r"\g<scheme>***@", text)


def is_secret_name(path: str) -> bool:
    """Whether a file, or a folder that it lies in, is named as keys and passwords are."""
    return any(_SECRET_NAMES.fullmatch(part) for part in PurePosixPath(path).parts)


def holds_secret(text: str) -> bool:
    """Whether a text has a private key, an access token or an address with its password."""
    return _SECRET_TEXT.search(text) is not None
