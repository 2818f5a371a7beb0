package plan

import (
	"encoding/json"
	"fmt"

	"griddle/appliance/job"
)

// record is what SavedTables needs of a record that package divide makes.
type record struct {
	Job   string `json:"job"`
	Plan  *Plan  `json:"plan"`
	Step  int    `json:"step"` // from 1 on
	Table []byte `json:"table"`
}

// SavedTables are the tables that the disks of a job had before its layout changed them, one for each disk, by the
// records of the job. There are none until the steps that save them have begun.
func SavedTables(records []json.RawMessage) ([]job.SavedTable, error) {
	var out []job.SavedTable
	var p *Plan
	saved := map[string]bool{}
	for i, text := range records {
		var r record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("reading record %d of the job: %w", i+1, err)
		}
		if r.Plan != nil && p == nil {
			p = r.Plan
		}
		if p == nil || r.Step < 1 || r.Step > len(p.Steps) || len(r.Table) == 0 {
			continue
		}
		s := p.Steps[r.Step-1]
		if s.Do != SaveTable || saved[s.Disk] {
			continue
		}
		for _, d := range p.Disks {
			if d.ID == s.Disk {
				saved[s.Disk] = true
				out = append(out, job.SavedTable{Version: job.SavedTableVersion, Job: r.Job, Serial: d.Serial,
					WWN: d.WWN, Size: d.Size, SectorSize: d.SectorSize, Table: r.Table})
			}
		}
	}
	return out, nil
}
