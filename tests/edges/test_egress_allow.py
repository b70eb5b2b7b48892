"""Which hosts, ports, addresses and greetings pass: the judgements of the way out, without any network."""

import ipaddress
import random
import ssl

import pytest
from hypothesis import given, strategies as st

from andon.gateway import hello
from andon.gateway.allow import Rules, Target, address_of, barred, host_of, pattern_of, target_of, unreachable
from andon.gateway.profiles import allowed, profiles
from andon.schema.errors import Mistake
from andon.schema.sandbox import BY_ITSELF, UNLISTED, Egress


def rules(*hosts: str, everything: bool = False) -> Rules:
    return Rules(Egress(hosts=hosts, everything=everything))


@pytest.mark.parametrize(("pattern", "passes", "not_these"), [
    ("example.org", ["example.org:443", "example.org:80", "EXAMPLE.org.:443"],
     ["example.org:22", "a.example.org:443", "notexample.org:443", "example.org.evil.net:443", "example.com:443"]),
    ("*.example.org", ["a.example.org:443", "a.b.example.org:80"], ["example.org:443", "aexample.org:443", "a.example.org:8080"]),
    ("example.org:8443", ["example.org:8443"], ["example.org:443", "example.org:80"]),
    ("*.example.org:22", ["a.example.org:22"], ["a.example.org:443"]),
    ("10.1.2.3", ["10.1.2.3:443"], ["10.1.2.4:443", "10.1.2.3:22"]),
    ("[::1]:8080", ["[::1]:8080", "[0:0::1]:8080"], ["[::1]:443", "127.0.0.1:8080"]),
    ("::1", ["[::1]:443"], ["[::1]:8080"]),
    ("bücher.example", ["xn--bcher-kva.example:443"], ["bucher.example:443"]),
    ("EXAMPLE.Org.", ["example.org:443"], []),
])
def test_a_pattern_lets_through_what_it_names_and_nothing_else(pattern: str, passes: list[str], not_these: list[str]) -> None:
    listed = rules(pattern)
    for text, wanted in [*((one, True) for one in passes), *((one, False) for one in not_these)]:
        target = target_of(text)
        assert target is not None and (listed.find(target) is not None) == wanted, text


@pytest.mark.parametrize("pattern", [
    "", "*", "*.", "*:443", "http://example.org", "example.org/path", "exa mple.org", "user@example.org", "10.0.0.0/8",
    "*.10.0.0.1", "example.org:0", "example.org:99999", "example.org:",
    "a.*.org", "-a.org", "127.1", "0x7f.1", "2130706433", "a..org", "::1%lo"])
def test_what_is_no_pattern_opens_nothing_and_is_told_to_the_person(pattern: str) -> None:
    assert pattern_of(pattern) is None
    assert all(rules(pattern).find(Target(host, 443)) is None for host in ("example.org", "127.0.0.1", "a.org", pattern))
    with pytest.raises(Mistake):
        allowed([pattern])


@pytest.mark.parametrize("text", [
    "0177.0.0.1", "0x7f.0.0.1", "127.1", "2130706433", "127.0.0.1.", "1.2.3.4.5", "1.2.3", "0", "a_b.0x1", "exam%70le.org",
    "exa\tmple.org", "[::1]", "::1%1", "example.org@evil", "a" * 64 + ".org", ".", "", "a b"])
def test_an_address_in_disguise_and_an_odd_name_are_no_host(text: str) -> None:
    assert host_of(text) is None


@pytest.mark.parametrize("text", [
    "a@b:443", "user:pw@b:443", "b", "b:", "b:x", "b:443:1", "::1:443", "[b]:443", "b:-1", "b:+1", "b:0443443", "b:65536",
    "[::1", "b/:443"])
def test_an_authority_that_can_be_read_twice_is_none(text: str) -> None:
    assert target_of(text) is None


@pytest.mark.parametrize("text", [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "198.18.0.1", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
    "::7f00:1", "2001:db8::1", "93.184.215.99", "::ffff:93.184.215.99"])
def test_no_name_leads_into_this_machine_or_a_network_that_is_not_open(text: str) -> None:
    address, own = ipaddress.ip_address(text), [ipaddress.ip_address("93.184.215.99")]
    listed = rules("name.example")
    assert unreachable(address, own)
    assert barred(listed, Target("name.example", 443), address, own)
    assert not barred(rules("name.example", str(address)), Target("name.example", 443), address, own)


@pytest.mark.parametrize("text", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_the_open_internet_is_reachable(text: str) -> None:
    assert not unreachable(ipaddress.ip_address(text), [])


def test_where_everything_is_allowed_this_machine_still_is_not() -> None:
    open_rules, target = rules(everything=True), Target("x.example", 22)
    assert open_rules.find(target) == "everything"
    assert not barred(open_rules, target, ipaddress.ip_address("10.0.0.1"), [])
    for text in ("127.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"):
        assert barred(open_rules, target, ipaddress.ip_address(text), [])


def test_it_is_told_which_pattern_and_whose() -> None:
    listed = Rules(allowed(["a.example", "pypi.org"], ["pypi"], ["github-copilot"]))
    hosts = ("a.example", "pypi.org", "files.pythonhosted.org", "x.githubcopilot.com")
    told = {text: listed.find(Target(text, 443)) for text in hosts}
    assert told == {"a.example": "a.example (andon.toml)", "pypi.org": "pypi.org (andon.toml)",
                    "files.pythonhosted.org": "files.pythonhosted.org (registry pypi)",
                    "x.githubcopilot.com": "*.githubcopilot.com (provider github-copilot)"}


def test_all_profiles_are_there_and_hold_nothing_but_hosts() -> None:
    assert set(profiles("registry")) == {"pypi", "npm", "crates", "go", "debian", "github"}
    assert set(profiles("provider")) == {"anthropic", "openai", "google", "github-copilot", "openrouter", "qwen"}
    egress = allowed([], profiles("registry"), profiles("provider"))
    assert all(pattern_of(host) for host in egress.hosts) and len(set(egress.hosts)) == len(egress.hosts) == len(egress.rules)
    for registry, provider in (("cpan", "anthropic"), ("pypi", "nobody")):
        with pytest.raises(Mistake, match="called"):
            allowed([], [registry], [provider])


def greeting(name: str | None, **more: bool) -> bytes:
    """What a real client says first."""
    context, out = ssl.create_default_context(), ssl.MemoryBIO()
    context.check_hostname = False
    one = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        one.do_handshake()
    return out.read()


def test_the_server_name_of_a_real_greeting_is_read_wherever_it_is_cut() -> None:
    data = greeting("name.example")
    assert hello.read(data) == hello.Hello(tls=True, name="name.example")
    assert all(hello.read(data[:cut]) is None for cut in range(len(data)))
    assert hello.read(greeting(None)) == hello.Hello(tls=True)


def test_a_greeting_in_many_records_is_put_together() -> None:
    data, sizes, parts = greeting("name.example")[5:], random.Random(1), b""
    while data:
        size = sizes.randint(1, 40)
        parts += b"\x16\x03\x01" + len(data[:size]).to_bytes(2, "big") + data[:size]
        data = data[size:]
    assert hello.read(parts) == hello.Hello(tls=True, name="name.example")


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x80\x2e\x01", b"\x00", b"\x16\x02"])
def test_what_is_no_tls_is_called_so(data: bytes) -> None:
    assert hello.read(data) == hello.NO_TLS


def test_a_greeting_with_two_names_or_none_at_all_or_without_end_is_broken() -> None:
    data = greeting("name.example")
    at = data.index(b"name.example") - 5  # the list of names begins
    entry = data[at + 2:at + 2 + 3 + 12]
    twice = data[:at] + (2 * len(entry)).to_bytes(2, "big") + 2 * entry + data[at + 2 + len(entry):]
    assert hello.read(data.replace(b"name.example", b"name\xff.exampl")) == hello.BROKEN
    fixed = bytearray(twice)
    for place, width in ((3, 2), (6, 3)):
        fixed[place:place + width] = (int.from_bytes(fixed[place:place + width], "big") + len(entry)).to_bytes(width, "big")
    fixed[at - 2:at] = (2 * len(entry) + 2).to_bytes(2, "big")
    start = _extensions(bytes(fixed))
    fixed[start:start + 2] = (int.from_bytes(fixed[start:start + 2], "big") + len(entry)).to_bytes(2, "big")
    said = hello.read(bytes(fixed))
    assert said is not None and said.broken
    assert hello.read(b"\x16\x03\x01\x00\x00") == hello.BROKEN
    endless = b"".join(b"\x16\x03\x01\x40\x00" + (b"\x01\xff\xff\xff" if not n else b"\0" * 4) + bytes(2**14 - 4) for n in range(5))
    assert hello.read(endless) == hello.BROKEN


def _extensions(data: bytes) -> int:
    """Where the length of the extensions stands."""
    at = 5 + 4 + 2 + 32
    at += 1 + data[at]
    at += 2 + int.from_bytes(data[at:at + 2], "big")
    return at + 1 + data[at]


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reading_of_a_greeting_fail(data: bytes) -> None:
    hello.read(data)
    hello.read(b"\x16\x03\x01" + len(data).to_bytes(2, "big") + data)


@given(st.text(max_size=40))
def test_no_text_makes_the_reading_of_a_host_fail_and_one_that_is_read_reads_as_itself(text: str) -> None:
    host = host_of(text)
    assert host is None or host_of(host) == host
    target_of(text, 80)
    if host is not None and address_of(host) is None:
        assert host.isascii() and host == host.lower()


def test_what_a_program_asks_for_by_itself_is_refused_under_a_rule_of_its_own() -> None:
    listed = Rules(Egress(hosts=("example.org",), own=("github.com",)))
    told = {text: listed.refusal(found) for text in ("github.com:443", "github.com:22", "evil.example:443")
            if (found := target_of(text)) is not None and listed.find(found) is None}
    assert told == {"github.com:443": BY_ITSELF, "github.com:22": UNLISTED, "evil.example:443": UNLISTED}
