"""Says which symbols and imports the changed lines of a file belong to: Python by its syntax tree, all else by text, and said so.

Theory of operation. In Python both sides are parsed, and a changed line belongs to each definition around it. Elsewhere a changed
line belongs to the heading that git gives its hunk and to what it defines or imports itself; that is a guess by text. Names are cut
into words (`checkPassword`, `check_password`), because what speaks of identity, secrets, permission and encryption says so in its
names, in every language.
"""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from andon.edges.facts.patch import File, Line
from andon.edges.facts.places import is_code, is_prose, is_test
from andon.schema.facts import Fact, Rule

IMPORTS = (
    "jwt", "jose", "authlib", "oauthlib", "requests_oauthlib", "passlib", "bcrypt", "argon2", "itsdangerous", "cryptography", "Crypto", "Cryptodome", "nacl",
    "OpenSSL", "ssl", "hmac", "secrets", "hashlib", "pyotp", "ldap", "ldap3", "kerberos", "gssapi", "pam", "keyring", "saml2", "onelogin", "webauthn", "fido2", "pickle",
    "django.contrib.auth", "django.middleware.csrf", "django.contrib.sessions", "flask_login", "flask_jwt_extended", "flask_security", "fastapi.security",
    "rest_framework.authentication", "rest_framework.permissions", "allauth", "social_core", "paramiko", "M2Crypto", "rsa", "ecdsa", "certifi", "hvac",
    "jsonwebtoken", "passport", "passport-*", "bcryptjs", "crypto", "node:crypto", "tls", "node:tls", "express-session", "next-auth", "@auth/*", "@okta/*", "auth0", "@auth0/*",
    "helmet", "csurf", "cookie-session", "oauth", "openid-client", "node-forge", "crypto-js", "elliptic", "firebase/auth", "keycloak-js",
    "crypto/*", "golang.org/x/crypto/*", "golang.org/x/oauth2*", "github.com/golang-jwt/jwt*", "github.com/dgrijalva/jwt-go*", "github.com/gorilla/sessions",
    "javax.crypto*", "java.security*", "javax.net.ssl*", "org.springframework.security*", "org.bouncycastle*", "io.jsonwebtoken*", "javax.security*", "org.apache.shiro*",
    "openssl", "rustls", "ring", "native_tls", "jsonwebtoken", "sodiumoxide", "argon2", "openssl/*", "gnutls/*", "mbedtls/*", "security/*", "sodium*", "System.Security*",
    "Microsoft.AspNetCore.Authentication*", "Microsoft.AspNetCore.Authorization*", "Microsoft.IdentityModel*", "devise", "warden", "omniauth*", "pundit", "cancancan", "doorkeeper",
)
"""Modules of identity, secrets and encryption. `hashlib`, `secrets` and `pickle` are among them: what is done with them is for a person."""
STRONG = frozenset(re.split(r"\s+", """
auth authn authz authenticate authenticated authenticates authenticating authentication authenticator authorization authorize authorized authorizes authorise authorised
unauthorized unauthenticated login logout signin signup password passwords passwd passphrase credential credentials cred creds csrf xsrf xss cors oauth oauth2 openid oidc saml jwt jws jwe jwk jwks hmac encrypt
encrypted encryption decrypt decrypted decryption cipher ciphers ciphertext crypto cryptographic x509 pkcs pkcs1 pkcs7 pkcs12 pkcs8 asn1 tls ssl sslv3 dtls certificate
certificates cert certs hostname_verify ocsp crl keystore truststore keyring privilege privileges privileged unprivileged setuid setgid seteuid setgroups sudo suid acl permission permissions
sandbox landlock seccomp apparmor selinux capabilities chroot rbac role roles nonce bcrypt scrypt argon2 pbkdf2 kdf rsa dsa ecdsa ed25519 ecdh aes gcm chacha20 poly1305 sha1 md5 hkdf
signature signatures signer signing verifier secret secrets apikey token tokens session sessions cookie cookies samesite httponly impersonate impersonation otp totp mfa 2fa webauthn fido kerberos
gssapi spnego ntlm ldap pam sshd authorized_keys known_hosts trusted untrusted sanitize sanitizer sanitise escape unsafe deserialize unpickle pickle traversal symlink symlinks
proxy_authorization redirect netrc whitelist allowlist denylist hostkey random urandom csprng entropy ifunc
""".strip())) - {"session", "sessions", "role", "roles", "random", "redirect", "token", "tokens", "escape", "symlink", "symlinks", "capabilities"}
"""Words in names of symbols and paths that say so. `token` and `session` alone do not: parsers and databases have them too."""
PAIRS = ("session", "cookie"), ("session", "id"), ("session", "key"), ("session", "ticket"), ("access", "token"), ("refresh", "token"), ("auth", "token"), ("api", "key"), ("api", "token"), ("bearer", "token"), (
    "private", "key"), ("public", "key"), ("secret", "key"), ("reset", "token"), ("path", "traversal"), ("constant", "time"), ("compare", "digest"), ("verify", "host"), ("verify", "peer"), ("verify", "none"), (
    "safe", "join"), ("user", "role"), ("is", "admin"), ("is", "superuser"), ("is", "staff"), ("allowed", "hosts"), ("shell", "true"), ("host", "key"), ("follow", "symlinks"), ("random", "bytes"), ("yaml", "load"), (
    "allow", "redirects"), ("get", "redirect"), ("strip", "auth"), ("signed", "token"), ("check", "host"), ("remote", "user"), ("known", "hosts"), ("key", "exchange"), ("mark", "safe"), ("html", "safe"), ("raw", "sql")
"""Two words in one name that say so together."""
CALLS = re.compile(r"\b(eval|exec|system|popen|subprocess|child_process|execSync|spawnSync|Runtime\.getRuntime|unserialize|yaml\.load|marshal\.loads?|pickle\.loads?|__import__|compile"
                   r"|new Function|dangerouslySetInnerHTML|innerHTML|document\.write|atob|fromCharCode|Buffer\.from)\s*\(|shell\s*=\s*True|curl [^|]*\|\s*(ba)?sh|base64 -d|verify\s*=\s*False"
                   r"|rejectUnauthorized|InsecureSkipVerify|NODE_TLS_REJECT|CURLOPT_SSL_VERIFY|_create_unverified|SSL_VERIFY_NONE|chmod\s+(-R\s+)?[0-7]*7\b|setenforce|--privileged")
"""Calls that let text become code, or take a proof of identity away."""
HIDDEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u2060\ufeff\U000e0000-\U000e007f\ufe00-\ufe0f]")
"""Characters that nobody sees and that change what a line seems to say."""
CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]*|[0-9]+")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{2,120}")
IMPORT = re.compile(r"""^\s*(?:from\s+([\w.]+)\s+import|import\s+([\w., ]+)$|import\s+(?:static\s+)?([\w.*]+);|use\s+([\w:]+)|using\s+([\w.]+);|#\s*include\s*[<"]([^>"]+)[>"]"""
                    r"""|.*\brequire\(?\s*['"]([^'"]+)['"]|.*\bfrom\s+['"]([^'"]+)['"]|\s*import\s+['"]([^'"]+)['"]|\s*(?:\w+\s+)?"([\w./-]+)"\s*$|.*\bimport\(\s*['"]([^'"]+)['"])""")
DEFINES = re.compile(r"^\s*(?:export\s+|pub\s+|public\s+|private\s+|protected\s+|static\s+|async\s+|default\s+|abstract\s+|final\s+)*(?:def|fn|func|function|class|struct|interface|trait|impl|module|type|enum)\s+(?:\([^)]*\)\s*)?([\w.:]+)")
WHOLE = 400_000
"""Characters of a Python file that is parsed; a longer one is looked at as text."""


def seen(file: File, before: str, after: str, symbols: tuple[str, ...]) -> Iterator[Fact]:
    """What the changed lines of one file belong to that is watched: always, or by `symbols`."""
    if file.binary or not file.lines:
        if not file.lines and not file.binary and is_code(file.path):
            yield from _place(file)
        return
    prose = is_prose(file.path)
    if not prose and is_code(file.path):
        yield from _place(file)
    found = list(_names(file, before, after)) if not prose else []
    yield from _watched(file, found, symbols)
    if not prose and is_code(file.path):
        yield from _security(file, found)


Found = tuple[str, str, int, str]
"""(`import` or `symbol`, name, line, how it is known)."""


def _names(file: File, before: str, after: str) -> Iterator[Found]:
    """Imports on changed lines and symbols around them."""
    for added, text in ((True, after), (False, before)):
        lines = [line for line in file.lines if line.added is added]
        tree = _tree(text) if lines and file.path.endswith((".py", ".pyi")) else None
        yield from (_in_tree(tree, {line.number for line in lines}) if tree is not None else _in_text(lines))


def _tree(text: str) -> ast.Module | None:
    """The syntax tree; None when there is none, and then text is what is left."""
    if len(text) > WHOLE or not text.strip():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _in_tree(tree: ast.Module, lines: set[int]) -> Iterator[Found]:
    bound: dict[str, str] = {}
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    used: list[tuple[str, int]] = []
    while stack:
        node, above = stack.pop()
        name = above
        if isinstance(node, ast.Import | ast.ImportFrom):
            for module, local in _imported(node):
                bound[local] = module
                if _touched(node, lines):
                    yield "import", module, node.lineno, "by its syntax"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{above}.{node.name}" if above else node.name
            if hit := _touched(node, lines):
                yield "symbol", name, hit, "by its syntax"
        elif isinstance(node, ast.Name) and node.lineno in lines:
            used.append((node.id, node.lineno))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and (hit := _touched(node, lines)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (("symbol", f"{above}.{target.id}" if above else target.id, hit, "by its syntax") for target in targets if isinstance(target, ast.Name))
        stack.extend((child, name) for child in ast.iter_child_nodes(node))
    yield from (("import", bound[name], line, "by its use") for name, line in used if name in bound)


def _imported(node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """(module, the name it is known by here)."""
    if isinstance(node, ast.Import):
        return [(each.name, (each.asname or each.name).split(".")[0]) for each in node.names]
    module = node.module or ""
    return [(f"{module}.{each.name}" if module else each.name, each.asname or each.name) for each in node.names]


def _touched(node: ast.stmt, lines: set[int]) -> int:
    """The first changed line within; 0 when none is."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    last = node.end_lineno or node.lineno
    if last - first < len(lines):
        return next((line for line in range(first, last + 1) if line in lines), 0)
    return min((line for line in lines if first <= line <= last), default=0)


def _in_text(lines: Iterable[Line]) -> Iterator[Found]:
    for line in lines:
        if found := IMPORT.match(line.text[:500]):
            for module in re.split(r"[,\s]+", next(each for each in found.groups() if each)):
                if module:
                    yield "import", module.replace("::", "."), line.number, "by text"
        for text in (line.within, line.text):
            if (defined := DEFINES.match(text[:500])) is not None:
                yield "symbol", defined[1], line.number, "by text"
        if heading := re.search(r"([A-Za-z_][\w:.]*)\s*\(", line.within):
            yield "symbol", heading[1], line.number, "by text"


def _watched(file: File, found: list[Found], symbols: tuple[str, ...]) -> Iterator[Fact]:
    """What `[policy.symbols]` names. `stop:` or `review:` before a pattern says in which list it stands."""
    for entry in symbols:
        level, pattern = entry.split(":", 1)
        rule: Rule = "symbol-stop" if level == "stop" else "symbol-review"
        wanted = "import" if pattern.startswith("import:") else "symbol"
        glob = pattern.removeprefix("import:")
        hit = next(((name, line, how) for kind, name, line, how in found if kind == wanted and _fits(name, glob, wanted)), None)
        if hit is not None:
            name, line, how = hit
            told = f"{'an import of' if wanted == 'import' else 'inside'} {name}, which [policy.symbols] {level} names ({how})"
            yield Fact(rule=rule, path=file.path, line=line, name=pattern, what=told)


def _fits(name: str, glob: str, kind: str) -> bool:
    if fnmatchcase(name, glob):
        return True
    if kind == "import":
        return any(name.startswith(f"{glob}{mark}") for mark in "./")
    return fnmatchcase(name.rsplit(".", 1)[-1], glob) or any(fnmatchcase(name[: at.start()], glob) for at in re.finditer(r"\.", name))


def words(name: str) -> list[str]:
    """A name's words, small."""
    return [word.lower() for part in re.split(r"[^A-Za-z0-9]+", name) for word in CAMEL.findall(part)]


def speaks(name: str) -> str:
    """The word or words by which a name says that it is about identity, secrets, permission or encryption; empty when it does not."""
    said = words(name)
    strong = next((word for word in said if word in STRONG), "")
    if strong:
        return strong
    return next((f"{one} {two}" for one, two in PAIRS if any(said[at:at + 2] == [one, two] for at in range(len(said)))), "")


def _place(file: File) -> Iterator[Fact]:
    word = speaks(file.path)
    if word:
        rule: Rule = "security-test" if is_test(file.path) else "security"
        yield Fact(rule=rule, path=file.path, name=word, what=f"its path speaks of {word}")


def _security(file: File, found: list[Found]) -> Iterator[Fact]:
    """Imports, symbols and changed lines that are about identity, secrets, permission or encryption: the first of each word."""
    rule: Rule = "security-test" if is_test(file.path) else "security"
    told: set[str] = set()
    for kind, name, line, how in found:
        about = next((each for each in IMPORTS if _fits(name, each, "import")), "") if kind == "import" else speaks(name)
        if about and about not in told:
            told.add(about)
            yield Fact(rule=rule, path=file.path, line=line, name=name, what=f"{'an import of' if kind == 'import' else 'inside'} {name} ({how})")
    for changed in file.lines:
        if changed.added and "hidden" not in told and HIDDEN.search(changed.text):
            told.add("hidden")
            yield Fact(rule="security", path=file.path, line=changed.number, name="hidden", what="added line with characters that nobody sees")
        call = CALLS.search(changed.text)
        said = call[0].strip() if call else next((name for name in NAME.findall(_bare(changed.text)) if speaks(name)), "")
        about = said if call else speaks(said)
        if said and about not in told:
            told.add(about)
            yield Fact(rule=rule, path=file.path, line=changed.number, name=said, what=f"{'added' if changed.added else 'removed'} line with `{said[:60]}` (by text)")


def _bare(text: str) -> str:
    """A line without its comment, as far as that is plain."""
    return "" if re.match(r"\s*(#(?!\s*include|\s*define|\s*if)|//|\*\s|/\*|--\s|;)", text) else text
