import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.forwarded import forwarded_for

texts = st.text(st.characters(max_codepoint=255))
hosts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["for=192.0.2.1"], ["192.0.2.1"]),
        (["For=192.0.2.1;proto=http , for=198.51.100.2"], ["192.0.2.1", "198.51.100.2"]),
        (['proto=https;for="[2001:db8::5]:443"'], ["[2001:db8::5]:443"]),
        (['for=7.7.7.7;host="x, for=6.6.6.6"'], ["7.7.7.7"]),
        (['host="x;for=6.6.6.6";for=7.7.7.7'], ["7.7.7.7"]),
        ([r'for=7.7.7.7;host="a\"b, for=6.6.6.6"'], ["7.7.7.7"]),
        ([r'for="7.7\.7.7"'], ["7.7.7.7"]),
        (["for=1.1.1.1;for=2.2.2.2"], [""]),
        (["proto=http"], [""]),
        (["xfor=1.1.1.1"], [""]),
        (["", "for=1.1.1.1"], ["", "1.1.1.1"]),
        (["for=[2001:db8::1]:80"], ["[2001:db8::1]:80"]),
        (['for="never closed, for=7.7.7.7'], ["", "7.7.7.7"]),
        (['for="x, for=7.7.7.7;host="y, for=6.6.6.6"'], ["", ""]),
    ],
)
def test_the_for_of_each_element_is_found(values: list[str], found: list[str]) -> None:
    assert forwarded_for(values) == found


@given(hosts)
def test_a_quoted_host_never_chooses_the_address(host: str) -> None:
    quoted = host.replace("\\", "\\\\").replace('"', '\\"')
    assert forwarded_for([f'for=7.7.7.7;host="{quoted}"']) == ["7.7.7.7"]
    assert forwarded_for([f'host="{quoted}";for=7.7.7.7']) == ["7.7.7.7"]


@given(st.lists(texts, max_size=4))
def test_any_text_is_read_without_an_error(values: list[str]) -> None:
    assert all(isinstance(text, str) for text in forwarded_for(values))


@given(texts)
def test_a_line_of_the_proxys_own_is_read_whatever_the_client_sent(client: str) -> None:
    assert forwarded_for([client, "for=7.7.7.7"])[-1] == "7.7.7.7"
