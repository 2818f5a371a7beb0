// Package ec2fake is an EC2 and EBS direct that the real SDK talks to, for tests without Amazon.
//
// Call New, serve it with httptest.NewTLSServer, and give the SDK its URL as base endpoint. It speaks EC2's query
// protocol (a form in, XML out) at / and EBS direct's REST at /snapshots.
//
// It holds to what Amazon's references say, as strictly as they do: an unknown action, parameter of a filter or page
// size is refused; blocks are checked against their SHA-256 and a snapshot against its count and linear checksum; a
// client token gives the same resource again, and IdempotentParameterMismatch for another request; what is in use is
// refused with DependencyViolation and its like; states advance by one step with each answer that shows them:
//
//	pending -> running -> stopping -> stopped -> pending ...   shutting-down -> terminated
//
// It says nothing about Amazon beyond that: what no reference tells is a guess here.
//
// Sources: Amazon EC2 API Reference 2016-11-15, "Error codes for the Amazon EC2 API"; EBS direct APIs
// Reference 2019-11-02.
package ec2fake

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
)

// AccessKey is the key whose signatures are taken; they are not verified.
const AccessKey = "AKIDFAKE"

// Fake is one account in one region. Its fields are set before the first request.
type Fake struct {
	Steps int            // answers that show a state before the next one
	Lag   int            // answers that do not have a new resource yet ("Eventual consistency", EC2 developer guide)
	Page  int            // most resources of one page; 0 for what the request says
	Quota map[string]int // most resources of a type, such as vpc or instance

	// Fault, if any, is asked before each request, several at once.
	Fault func(Call) *Fault

	mu      sync.Mutex
	n       int
	serial  map[string]int
	all     []*object
	tokens  map[string]made
	trace   []string
	expired bool
}

// Call is one request.
type Call struct {
	N      int    // counted from 0
	Action string // such as RunInstances or PutSnapshotBlock
}

// Fault is how a request fails.
type Fault struct {
	Status     int
	Code       string
	RetryAfter int  // seconds; 0 for none
	Drop       bool // the connection ends without an answer
	After      bool // the work is done before
	Hang       bool // nothing happens until the client goes away
}

// failed is an error in an answer.
type failed struct {
	status  int
	code    string
	message string
}

func (e *failed) Error() string { return e.code + ": " + e.message }

func refuse(code, format string, a ...any) error {
	return &failed{http.StatusBadRequest, code, fmt.Sprintf(format, a...)}
}

// New is an account with nothing in it.
func New() *Fake {
	return &Fake{serial: make(map[string]int), tokens: make(map[string]made)}
}

// ServeHTTP implements http.Handler.
func (f *Fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	direct := strings.HasPrefix(r.URL.Path, "/snapshots")
	action := directAction(r)
	var form url.Values
	if !direct {
		if form, err = url.ParseQuery(string(body)); err != nil {
			http.Error(w, "not a form", http.StatusBadRequest)
			return
		}
		action = form.Get("Action")
	}
	f.mu.Lock()
	c := Call{f.n, action}
	f.n++
	f.mu.Unlock()
	var fault *Fault
	if f.Fault != nil {
		fault = f.Fault(c)
	}
	if fault != nil && fault.Hang {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	if fault == nil || fault.After {
		var answer []byte
		var status int
		if direct {
			status, answer = f.serveDirect(w.Header(), r, action, body)
		} else {
			status, answer = f.serveQuery(r, form)
		}
		if fault == nil {
			w.WriteHeader(status)
			w.Write(answer)
			return
		}
	}
	if fault.Drop {
		panic(http.ErrAbortHandler)
	}
	if fault.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
	}
	e := &failed{fault.Status, fault.Code, "as the test wants it"}
	if direct {
		writeDirect(w, e)
		return
	}
	w.WriteHeader(e.status)
	w.Write(queryError(e))
}

// allowed checks who asks.
func (f *Fake) allowed(r *http.Request) error {
	if !strings.Contains(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+AccessKey+"/") {
		return &failed{http.StatusUnauthorized, "AuthFailure",
			"AWS was not able to validate the provided access credentials"}
	}
	if f.expired {
		return &failed{http.StatusBadRequest, "RequestExpired", "Request has expired."}
	}
	return nil
}

func (f *Fake) serveQuery(r *http.Request, form url.Values) (int, []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := query{form}
	action := q.get("Action")
	do, known := f.actions()[action]
	err := f.allowed(r)
	if !known && err == nil {
		err = refuse("InvalidAction", "The action %s is not valid for this web service.", action)
	}
	answer := ""
	if err == nil {
		if !strings.HasPrefix(action, "Describe") && !strings.HasPrefix(action, "Get") {
			f.trace = append(f.trace, q.String())
		}
		answer, err = do(q)
	}
	if e, ok := err.(*failed); ok {
		return e.status, queryError(e)
	}
	return http.StatusOK, []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n<" + action +
		`Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">` +
		el("requestId", "fake") + answer + "</" + action + "Response>")
}

func queryError(e *failed) []byte {
	return []byte(el("Response", el("Errors", el("Error", el("Code", e.code), text("Message", e.message))),
		el("RequestID", "fake")))
}

// actions are what the query protocol can ask.
func (f *Fake) actions() map[string]func(query) (string, error) {
	return map[string]func(query) (string, error){
		"CreateTags": f.createTags,

		"DescribeImages": f.describeImages, "RegisterImage": f.registerImage, "DeregisterImage": f.deregisterImage,
		"DescribeSnapshots": f.describeSnapshots, "DeleteSnapshot": f.deleteSnapshot,

		"DescribeKeyPairs": f.describeKeyPairs, "ImportKeyPair": f.importKeyPair, "DeleteKeyPair": f.deleteKeyPair,

		"DescribeVpcs": f.describeVpcs, "CreateVpc": f.createVpc, "DeleteVpc": f.deleteVpc,
		"DescribeSubnets": f.describeSubnets, "CreateSubnet": f.createSubnet, "DeleteSubnet": f.deleteSubnet,
		"DescribeInternetGateways": f.describeGateways, "CreateInternetGateway": f.createGateway,
		"AttachInternetGateway": f.attachGateway, "DetachInternetGateway": f.detachGateway,
		"DeleteInternetGateway": f.deleteGateway, "DescribeRouteTables": f.describeRouteTables,
		"CreateRoute": f.createRoute, "ReplaceRoute": f.replaceRoute, "DescribeDhcpOptions": f.describeDhcp,
		"CreateDhcpOptions": f.createDhcp, "AssociateDhcpOptions": f.associateDhcp, "DeleteDhcpOptions": f.deleteDhcp,
		"DescribeNetworkInterfaces": f.describeInterfaces, "ModifyNetworkInterfaceAttribute": f.modifyInterface,

		"DescribeSecurityGroups": f.describeGroups, "CreateSecurityGroup": f.createGroup,
		"DeleteSecurityGroup": f.deleteGroup, "DescribeSecurityGroupRules": f.describeRules,
		"AuthorizeSecurityGroupIngress": f.authorize, "RevokeSecurityGroupIngress": f.revoke,

		"DescribeAddresses": f.describeAddresses, "AllocateAddress": f.allocateAddress,
		"AssociateAddress": f.associateAddress, "DisassociateAddress": f.disassociateAddress,
		"ReleaseAddress": f.releaseAddress,

		"DescribeVolumes": f.describeVolumes, "CreateVolume": f.createVolume, "ModifyVolume": f.modifyVolume,
		"AttachVolume": f.attachVolume, "DetachVolume": f.detachVolume, "DeleteVolume": f.deleteVolume,

		"DescribeInstances": f.describeInstances, "RunInstances": f.runInstances,
		"TerminateInstances": f.terminateInstances, "StartInstances": f.startInstances,
		"StopInstances": f.stopInstances, "RebootInstances": f.rebootInstances, "GetConsoleOutput": f.consoleOutput,
		"DescribeInstanceTypes": f.describeTypes, "DescribeAvailabilityZones": f.describeZones,
		"DescribeRegions": f.describeRegions,
	}
}
