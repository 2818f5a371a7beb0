package bootenv

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxFresh is the largest number of a fresh root.
const MaxFresh = 999_999_999

// freshMark is between a base and the number of its fresh root.
const freshMark = "~"

// FreshName is the name of the fresh root of a base that has a number.
func FreshName(base string, number int) string { return base + freshMark + strconv.Itoa(number) }

// CutFresh undoes FreshName. Names of other roots are not ok.
func CutFresh(name string) (base string, number int, ok bool) {
	at := strings.LastIndex(name, freshMark)
	if at < 1 {
		return "", 0, false
	}
	number = freshNumber(name[at+1:])
	return name[:at], number, number > 0
}

// freshNumber reads a number as FreshName writes it; 0 for other texts.
func freshNumber(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxFresh || strconv.Itoa(n) != text {
		return 0
	}
	return n
}

// takeFresh reads the numbers of fresh roots as GRUB does: what is not a number names no root, a spare one alone is not
// used, and no root starts twice.
func (e *Env) takeFresh(fresh, spare string) {
	next, after := freshNumber(fresh), freshNumber(spare)
	if next == 0 || e.Good == "" {
		return
	}
	e.Fresh = next
	if after != next {
		e.Spare = after
	}
}

// freshLines are those of the fresh roots. Without any there are none, as in earlier versions.
func (e Env) freshLines() (string, error) {
	wrong := e.Fresh < 0 || e.Fresh > MaxFresh || e.Spare < 0 || e.Spare > MaxFresh
	switch {
	case wrong, e.Fresh > 0 && (e.Good == "" || e.Fresh == e.Spare), e.Fresh == 0 && e.Spare > 0:
		return "", fmt.Errorf("writing an environment block: the fresh roots %d and %d of %q are not possible", e.Fresh,
			e.Spare, e.Good)
	case e.Fresh == 0:
		return "", nil
	case e.Spare == 0:
		return fmt.Sprintf("%[1]sfresh=%[2]d\n%[1]sspare=\n", prefix, e.Fresh), nil
	}
	return fmt.Sprintf("%[1]sfresh=%[2]d\n%[1]sspare=%[3]d\n", prefix, e.Fresh, e.Spare), nil
}
