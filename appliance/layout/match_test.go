package layout

import (
	"encoding/json"
	"testing"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Size{
		"20G": {Bytes: 20 << 30}, "20GB": {Bytes: 20e9}, "20GiB": {Bytes: 20 << 30}, "512M": {Bytes: 512 << 20},
		"1T": {Bytes: 1 << 40}, "3TB": {Bytes: 3e12}, "7kB": {Bytes: 7000}, "7K": {Bytes: 7 << 10},
		"513B": {Bytes: 513}, "25%": {Percent: 25}, "100%": {Percent: 100}, "rest": {Rest: true},
	} {
		got, err := ParseSize(in)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %+v, %v, want %+v", in, got, err, want)
		}
		again, err := ParseSize(got.String())
		if err != nil || again != got {
			t.Errorf("ParseSize(%q) = %+v, %v, want %+v", got.String(), again, err, got)
		}
	}
	for _, in := range []string{"", "20", "G", "0G", "-1G", "+1G", "1.5G", "01G", "1 G", "9999999999999T", "0%", "101%",
		"%", "-1", "1e3M", "20g", "half", "٣G"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("ParseSize(%q) = %+v, want an error", in, got)
		}
	}
	var s Size
	if b, err := json.Marshal(Size{Percent: 7}); err != nil || string(b) != `"7%"` || json.Unmarshal(b, &s) != nil ||
		s.Percent != 7 {
		t.Errorf("as JSON 7%% is %s, %v, and back %+v", b, err, s)
	}
}
