package document_test

import (
	"strings"
	"testing"

	"griddle/imagestore/document"
)

func TestPreparedValidate(t *testing.T) {
	sum := strings.Repeat("0", 64)
	tests := []struct {
		p    document.Prepared
		want string // in the error; "" for none
	}{
		{document.Prepared{Step: "logs"}, ""},
		{document.Prepared{Step: "logs", Removed: 3, Bytes: 1 << 40}, ""},
		{document.Prepared{Hook: "10-x", SHA256: sum}, ""},
		{document.Prepared{}, "neither"},
		{document.Prepared{Step: "logs", Hook: "10-x", SHA256: sum}, "both"},
		{document.Prepared{Hook: "10-x"}, "SHA-256"},
		{document.Prepared{Step: "logs", SHA256: sum}, "SHA-256"},
		{document.Prepared{Step: "logs", Removed: -1}, "negative"},
		{document.Prepared{Step: strings.Repeat("x", 256)}, "longer"},
	}
	for _, tt := range tests {
		err := document.ValidatePrepared([]document.Prepared{tt.p})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("validatePrepared(%+v) = %v, want %q", tt.p, err, tt.want)
		}
	}
	if document.ValidatePrepared(make([]document.Prepared, 1001)) == nil {
		t.Error("1001 steps are not refused")
	}
}
