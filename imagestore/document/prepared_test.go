package document

import (
	"strings"
	"testing"
)

func TestPreparedValidate(t *testing.T) {
	sum := strings.Repeat("0", 64)
	tests := []struct {
		p    Prepared
		want string // in the error; "" for none
	}{
		{Prepared{Step: "logs"}, ""},
		{Prepared{Step: "logs", Removed: 3, Bytes: 1 << 40}, ""},
		{Prepared{Hook: "10-x", SHA256: sum}, ""},
		{Prepared{}, "neither"},
		{Prepared{Step: "logs", Hook: "10-x", SHA256: sum}, "both"},
		{Prepared{Hook: "10-x"}, "SHA-256"},
		{Prepared{Step: "logs", SHA256: sum}, "SHA-256"},
		{Prepared{Step: "logs", Removed: -1}, "negative"},
		{Prepared{Step: strings.Repeat("x", 256)}, "longer"},
	}
	for _, tt := range tests {
		err := validatePrepared([]Prepared{tt.p})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("validatePrepared(%+v) = %v, want %q", tt.p, err, tt.want)
		}
	}
	if validatePrepared(make([]Prepared, 1001)) == nil {
		t.Error("1001 steps are not refused")
	}
}
