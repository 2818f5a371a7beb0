package volume

import (
	"errors"
	"fmt"
)

// Run is a part of a file: clusters that follow one another.
type Run struct {
	LCN    int64 // its first cluster on the volume; -1 in a hole
	Length int64 // clusters
}

// parseRuns reads a list of runs of a volume that has clusters clusters. For each run it has one byte with the lengths
// of two numbers, and the numbers: how many clusters, and how far from the last run they are. A zero byte ends it.
func parseRuns(p []byte, clusters int64) ([]Run, error) {
	var runs []Run
	var lcn int64
	for len(p) > 0 && p[0] != 0 {
		size, far := int(p[0]&15), int(p[0]>>4)
		if size < 1 || size > 8 || far > 8 || 1+size+far > len(p) {
			return nil, errors.New("its list of runs is damaged")
		}
		run := Run{LCN: -1, Length: signed(p[1 : 1+size])}
		if run.Length < 1 || run.Length > clusters {
			return nil, fmt.Errorf("its list has a run of %d clusters", run.Length)
		}
		if far > 0 {
			lcn += signed(p[1+size : 1+size+far])
			if lcn < 0 || lcn > clusters-run.Length {
				return nil, fmt.Errorf("its list has a run of %d clusters at cluster %d of %d", run.Length, lcn,
					clusters)
			}
			run.LCN = lcn
		}
		runs = append(runs, run)
		p = p[1+size+far:]
	}
	return runs, nil
}

// signed is a number of 1 to 8 bytes, the lowest first.
func signed(p []byte) int64 {
	n := int64(int8(p[len(p)-1]))
	for i := len(p) - 2; i >= 0; i-- {
		n = n<<8 | int64(p[i])
	}
	return n
}

// firstRun is the first part of the unnamed data of a record.
func (b Boot) firstRun(rec []byte, number int) (Run, error) {
	for a := range attributes(rec) {
		if a.kind != attrData || a.named != "" || a.resident || a.first != 0 {
			continue
		}
		runs, err := parseRuns(a.pairs, b.Clusters())
		if err != nil {
			return Run{}, fmt.Errorf("reading record %d of $MFT: %w", number, err)
		}
		if len(runs) > 0 && runs[0].LCN > 0 {
			return runs[0], nil
		}
	}
	return Run{}, fmt.Errorf("reading record %d of $MFT: it does not say where its data is", number)
}
