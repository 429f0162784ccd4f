"""The embedded codec: a recogniser hears phones, two of them are one code, a net speaks codes."""

from voxtwist.codec.phones.codec import PhoneCodec

__all__ = ["PhoneCodec"]
