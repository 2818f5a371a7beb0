package filter

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]struct {
		f    Filter
		text string
	}{
		"":                 {nil, ""},
		" \t ":             {nil, ""},
		"state=deployed":   {Filter{{State, false, []Pattern{"deployed"}}}, "state=deployed"},
		"State=Away,ready": {Filter{{State, false, []Pattern{"away", "ready"}}}, "state=away,ready"},
		"state=*ing":       {Filter{{State, false, []Pattern{"*ing"}}}, "state=*ing"},
		"tag!=spare  group=": {Filter{{Tag, true, []Pattern{"spare"}}, {Group, false, []Pattern{""}}},
			"tag!=spare group="},
		`place="Room 2, left**" lenovo`: {Filter{{Place, false, []Pattern{"room 2, left*"}},
			{Text, false, []Pattern{"lenovo"}}}, `place="room 2, left*" lenovo`},
		`"a=b"`:             {Filter{{Text, false, []Pattern{"a=b"}}}, `"a=b"`},
		"text!=x,y":         {Filter{{Text, true, []Pattern{"x", "y"}}}, "text!=x,y"},
		"name=a=b":          {Filter{{Name, false, []Pattern{"a=b"}}}, "name=a=b"},
		"52:54:00:*":        {Filter{{Text, false, []Pattern{"52:54:00:*"}}}, "52:54:00:*"},
		"image=web:2@amd64": {Filter{{Image, false, []Pattern{"web:2@amd64"}}}, "image=web:2@amd64"},
	} {
		got, err := Parse(in)
		if err != nil || !reflect.DeepEqual(got, want.f) || got.String() != want.text {
			t.Errorf("Parse(%q) = %#v, %v (%q), want %#v (%q)", in, got, err, got.String(), want.f, want.text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"stat=x":                           `column 1: "stat" is not a key; the keys are name, state`,
		"name=a  =x":                       `column 9: "" is not a key`,
		"name=a stat!=x":                   `column 8: "stat" is not a key`,
		"state=deployed,brocken":           `column 16: no state is called "brocken"; the states are discovered`,
		"tag!x":                            `column 4: after ! there must be =, as in "tag"!=VALUE`,
		`place="room`:                      `column 7: the quotes that begin here do not end`,
		`place=ro"om"`:                     `column 9: quotes can only be around a whole value`,
		`place="a"b`:                       `column 10: there must be a space before "b"`,
		`""`:                               `column 1: the text to look for is missing`,
		"text=":                            `column 1: the text to look for is missing`,
		"a,b":                              `column 2: there must be a space before ","`,
		"name=a\x07":                       `column 7: a control character cannot be in a filter`,
		"name=\xff":                        "it is not UTF-8",
		"name=*a*b*c*d*e*f*g*h*i":          "column 6: the value has more than 8 wildcards",
		strings.Repeat("a", 1025):          "it has 1025 bytes, and the limit is 1024",
		strings.Repeat("a ", 33):           "column 65: it has more than 32 terms",
		"tag=a" + strings.Repeat(",a", 64): "the term has more than 64 values",
	} {
		f, err := Parse(in)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%.60q) = %v, %v, want %q", in, f, err, want)
		}
	}
}

func TestLike(t *testing.T) {
	for in, want := range map[Pattern]string{"web:*": "web:%", `50%_\`: `50\%\_\\`, "lab?": "lab_", "a": "a"} {
		if got := in.Like(); got != want || in.Plain() != (in == `50%_\` || in == "a") {
			t.Errorf("Like(%q) = %q, want %q; Plain() = %v", in, got, want, in.Plain())
		}
	}
}

// FuzzParse: a filter that is read is written so that it is read again as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"state=deployed tag!=a,b", `place="x y" lenovo`, "group=", "name=***", `"a=b!c"`,
		"é=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || !utf8.ValidString(err.Error()) || len(err.Error()) > 1000 {
				t.Errorf("Parse(%q) = %v", s, err)
			}
			return
		}
		again, err := Parse(got.String())
		if len(got.String()) > MaxText {
			return // quotes were added
		}
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Errorf("Parse(%q) = %#v, and of its text %q %#v, %v", s, got, got.String(), again, err)
		}
	})
}
