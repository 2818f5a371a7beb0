package api

import (
	"fmt"
	"net/http"

	"griddle/appliance/account"
	"griddle/appliance/job"
)

// Admit says whether r has the token of one who may do what needs the role. If not, it has answered r.
func (h *Handler) Admit(w http.ResponseWriter, r *http.Request, needs account.Role) bool {
	who, err := h.Who(r)
	if err == nil && !who.Role.May(needs) {
		err = job.NewProblem(http.StatusForbidden, fmt.Sprintf("this needs the role %s, and %s has the role %s", needs,
			job.Printable(who.Name), who.Role))
	}
	if err != nil {
		h.refuse(w, r, err)
	}
	return err == nil
}
