package document

import (
	"fmt"
)

// Account is a user of an image who can log in on every machine that gets the image.
type Account struct {
	Name     string `json:"name"`
	Password bool   `json:"password,omitempty"`      // it has one
	Empty    bool   `json:"emptyPassword,omitempty"` // which is the empty one
	Keys     int    `json:"keys,omitempty"`          // ssh keys that may log in
}

const maxAccounts = 1000

func validateAccounts(all []Account) error {
	if len(all) > maxAccounts {
		return fmt.Errorf("%d accounts are more than %d", len(all), maxAccounts)
	}
	for _, a := range all {
		if a.Name == "" || len(a.Name) > maxPreparedName || a.Keys < 0 {
			return fmt.Errorf("an account of the name %.40q with %d keys is not possible", a.Name, a.Keys)
		}
	}
	return nil
}
