package api

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"griddle/appliance/account"
)

// operate registers the calls of operators, each with the role that it needs.
func (h *Handler) operate(a huma.API) {
	op := func(id, pattern, summary string) huma.Operation {
		method, path, _ := strings.Cut(pattern, " ")
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary}
	}
	order := func(id, pattern, summary string) huma.Operation { // makes a job
		o := op(id, pattern, summary)
		o.DefaultStatus = http.StatusCreated
		return o
	}
	route(h, a, op("list-machines", "GET /v1/machines",
		"List machines by name, a page of them"), account.Viewer, h.machines)
	route(h, a, op("get-machine", "GET /v1/machines/{key}",
		"Show a machine with its jobs"), account.Viewer, h.machine)
	route(h, a, order("install-machine", "POST /v1/machines/{key}/install",
		"Order an install"), account.Operator, h.install)
	route(h, a, reading(op("plan-layout", "POST /v1/machines/{key}/plan",
		"Say what a layout would do to the disks; change nothing")), account.Viewer, h.planLayout)
	routeAnswer(h, a, also[Machine](a, order("update-machine", "POST /v1/machines/{key}/update",
		"Order an update; 200 if the machine has the image already"), http.StatusOK), account.Operator, h.update)
	route(h, a, order("erase-disk", "POST /v1/machines/{key}/erase",
		"Order the erase of a disk"), account.Operator, h.erase)
	route(h, a, order("reboot-machine", "POST /v1/machines/{key}/reboot",
		"Order a restart of the installed system"), account.Operator, h.reboot)
	route(h, a, order("roll-back-machine", "POST /v1/machines/{key}/rollback",
		"Order that a machine goes back to an earlier root"), account.Operator, h.rollback)
	route(h, a, order("run-program", "POST /v1/machines/{key}/run",
		"Order that a machine runs a program, if the site lets the caller"), account.Operator, h.run)
	route(h, a, order("relay-image", "POST /v1/machines/{key}/relay",
		"Order a machine to relay an image to its network"), account.Operator, h.relay)
	route(h, a, op("resume-machine", "POST /v1/machines/{key}/resume",
		"Order the last install by a layout again"), account.Operator, h.resume)
	route(h, a, op("cancel-job", "POST /v1/machines/{key}/cancel",
		"Take the job of a machine back"), account.Operator, h.cancel)
	route(h, a, op("approve-boot", "POST /v1/machines/{key}/approve",
		"Approve the boot whose screen shows a code"), account.Operator, h.approve)
	route(h, a, op("rename-machine", "POST /v1/machines/{key}/rename",
		"Give a machine another name"), account.Operator, h.rename)
	route(h, a, op("merge-machines", "POST /v1/machines/{key}/merge",
		"Say that another machine is the same one"), account.Operator, h.merge)
	route(h, a, op("label-machines", "POST /v1/labels",
		"Change names, groups, tags, places and notes of machines, of all or of none"), account.Operator, h.label)
	route(h, a, op("retire-machine", "POST /v1/machines/{key}/retire",
		"Take a machine out of use"), account.Operator, h.retire)
	route(h, a, op("reuse-machine", "POST /v1/machines/{key}/reuse",
		"Take a machine back into use"), account.Operator, h.reuse)
	route(h, a, op("replace-machine", "POST /v1/machines/{key}/replace",
		"Give the place of a machine to another computer"), account.Operator, h.replace)
	route(h, a, op("list-groups", "GET /v1/groups",
		"List groups by name, without their settings"), account.Viewer, h.groups)
	route(h, a, op("get-group", "GET /v1/groups/{name}",
		"Show a group with its settings, without secrets"), account.Viewer, h.group)
	route(h, a, order("make-group", "POST /v1/groups/{name}",
		"Make a group"), account.Operator, h.makeGroup)
	route(h, a, op("change-group", "PATCH /v1/groups/{name}",
		"Change a group"), account.Operator, h.changeGroup)
	routeEmpty(h, a, op("delete-group", "DELETE /v1/groups/{name}",
		"Delete a group that no machine is in"), account.Operator, h.deleteGroup)
	routeAnswer(h, a, tagged(op("get-settings", "GET /v1/machines/{key}/settings",
		"Show the settings of a machine, without secrets")), account.Viewer, h.showSettings)
	routeAnswer(h, a, tagged(op("replace-settings", "PUT /v1/machines/{key}/settings",
		"Replace a machine's own settings")), account.Operator, h.putSettings)
	routeAnswer(h, a, tagged(op("change-settings", "PATCH /v1/machines/{key}/settings",
		"Change a machine's own settings")), account.Operator, h.changeSettings)
	routeEmpty(h, a, op("clear-settings", "DELETE /v1/machines/{key}/settings",
		"Delete a machine's own settings"), account.Operator, h.clearSettings)
	route(h, a, op("replace-many-settings", "PUT /v1/settings",
		"Replace the own settings of several machines, of all or of none"), account.Operator, h.putManySettings)
	route(h, a, op("read-recovery-keys", "POST /v1/machines/{key}/recovery-key",
		"Show the recovery keys of a machine; its journal says so"), account.Admin, h.readRecovery)
	routeEmpty(h, a, op("delete-machine", "DELETE /v1/machines/{key}",
		"Forget a machine"), account.Operator, h.delete)
	route(h, a, op("read-log", "GET /v1/machines/{key}/log",
		"Read a machine's journal, or wait for an entry"), account.Viewer, h.log)
	h.operateEvents(a, op("stream-events", "GET /v1/events",
		"Stream the journals of all machines as server-sent events"))
	h.consoles(a)
	route(h, a, op("get-saved-tables", "GET /v1/machines/{key}/tables",
		"Show the partition tables that the last layout changed"), account.Viewer, h.savedTables)
	route(h, a, op("get-rules", "GET /v1/rules",
		"Show the rules of the site"), account.Viewer, h.getRules)
	route(h, a, op("set-rules", "PUT /v1/rules",
		"Replace the rules of the site"), account.Admin, h.setRules)
	route(h, a, reading(op("try-rules", "POST /v1/rules/test",
		"Say which rule would act for a machine, and why; change nothing")), account.Viewer, h.tryRules)
	route(h, a, op("list-multicast", "GET /v1/multicast",
		"List multicast sessions"), account.Viewer, h.multicast)
	routeEmpty(h, a, op("control-multicast", "POST /v1/multicast/{id}/{action}",
		"Control a multicast session"), account.Operator, h.control)

	route(h, a, reading(op("preview-order", "POST /v1/orders/preview",
		"Say what an order for many machines would do; change nothing")), account.Operator, h.previewOrder)
	route(h, a, order("make-order", "POST /v1/orders",
		"Order jobs for many machines"), account.Operator, h.newOrder)
	route(h, a, op("list-orders", "GET /v1/orders",
		"List orders for many machines, the newest first"), account.Viewer, h.orders)
	route(h, a, op("get-order", "GET /v1/orders/{id}",
		"Show an order, with what became of each machine"), account.Viewer, h.showOrder)
	route(h, a, op("hold-order", "POST /v1/orders/{id}/hold",
		"Give no further machine of an order a job"), account.Operator, h.holdOrder)
	route(h, a, op("continue-order", "POST /v1/orders/{id}/continue",
		"Continue an order that is held"), account.Operator, h.continueOrder)
	route(h, a, op("cancel-order", "POST /v1/orders/{id}/cancel",
		"Take back the jobs of an order that have not begun, and give no others"), account.Operator, h.cancelOrder)
	route(h, a, op("retry-order", "POST /v1/orders/{id}/retry",
		"Give machines that failed, were skipped or cancelled another job"), account.Operator, h.retryOrder)

	h.accounts(a, op)
}
