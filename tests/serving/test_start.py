import socket

import pytest

from plackett.errors import SettingError
from plackett.serving.settings import Settings
from plackett.serving.start import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_replies_do_not_wait_for_acknowledgements(host):
    """The head and the body of a reply are two packets: the second would wait 40 ms for the client's delayed one."""
    with listen(Settings(host=host, port=0)) as listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_name_that_is_no_address_is_an_error():
    with pytest.raises(SettingError, match="no such host"):
        listen(Settings(host="no such host"))
