package dhcp

import "slices"

// Where the parts of a packet are (RFC 2131 section 2), in bytes from its beginning.
const (
	snameAt   = 44 // 64 bytes
	fileAt    = 108
	cookieAt  = 236
	optionsAt = 240

	optPad      = 0
	optOverload = 52 // bit 0: options in the file field, bit 1: in the sname field (RFC 2132 section 9.3)
	optEnd      = 255
)

// tidy returns b with its options as the library wants them: all in the options field, each of them whole, and with the
// END option behind them. Clients differ: some leave END out, some cut the last option short, and some put options into
// the file and sname fields (option 52). dnsmasq and ISC dhcpd read all of them up to the first byte that they cannot
// use, and so do we. b stays as it is. A packet without room for options is returned as it came; the library says what
// is wrong with it.
func tidy(b []byte) []byte {
	if len(b) < optionsAt {
		return b
	}
	whole, overload := wholeOptions(b[optionsAt:])
	out := append(slices.Clone(b[:optionsAt]), whole...)
	// The order is that of RFC 2131 section 4.1. Fields that hold options hold no names.
	if overload&1 != 0 {
		more, _ := wholeOptions(b[fileAt:cookieAt])
		out = append(out, more...)
		clear(out[fileAt:cookieAt])
	}
	if overload&2 != 0 {
		more, _ := wholeOptions(b[snameAt:fileAt])
		out = append(out, more...)
		clear(out[snameAt:fileAt])
	}
	return append(out, optEnd)
}

// wholeOptions returns the bytes of b up to END, or up to the first option that does not fit, and the value of option
// 52.
func wholeOptions(b []byte) (whole []byte, overload byte) {
	at := 0
	for at < len(b) && b[at] != optEnd {
		if b[at] == optPad {
			at++
			continue
		}
		if at+2 > len(b) || at+2+int(b[at+1]) > len(b) {
			break
		}
		if b[at] == optOverload && b[at+1] > 0 {
			overload = b[at+2]
		}
		at += 2 + int(b[at+1])
	}
	return b[:at], overload
}
