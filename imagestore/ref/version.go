package ref

import (
	"fmt"
	"strings"
	"time"

	"griddle/imagestore/packages"
)

// CompareVersions orders two versions as dpkg does (packages.CompareDpkg): 1.0~rc1 < 1.0 < 1.0a < 1.0+1 and 2 < 10. It
// returns a number below, equal to or above zero.
func CompareVersions(a, b string) int { return packages.CompareDpkg(a, b) }

// NextVersion is the default version: the UTC date and the first counter that is above all that are taken on it.
func NextVersion(now time.Time, taken []string) string {
	day := now.UTC().Format("20060102")
	for n := 1; ; n++ {
		v := fmt.Sprintf("%s.%d", day, n)
		free := true
		for _, t := range taken {
			if strings.HasPrefix(t, day+".") && CompareVersions(t, v) >= 0 {
				free = false
				break
			}
		}
		if free {
			return v
		}
	}
}
