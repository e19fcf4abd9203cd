// Courier is a parcel delivery bot for one town: bare net/http, everything in memory.
//
// The webhook takes an update into the inbox of its chat and answers at once. Each chat has a goroutine that
// works off its inbox, and another that empties its outbox, as long as there is something in them.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
)

const (
	maxBody     = 1 << 20
	maxSeen     = 20000
	maxInbox    = 300
	maxOutbox   = 400
	maxBacklog  = 20000
	maxOrders   = 3000
	maxDrafts   = 3000
	maxPeople   = 10000
	maxText     = 3900 // UTF-16 units, as Telegram counts
	codeTries   = 5
	callTimeout = 8 * time.Second
)

var pauses = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

var bugName = os.Getenv("BUG")

func bug(name string) bool { return bugName == name }

// ---- what Telegram sends

type User struct {
	ID       int64  `json:"id"`
	IsBot    bool   `json:"is_bot"`
	First    string `json:"first_name"`
	Username string `json:"username"`
}

type Chat struct {
	ID   int64  `json:"id"`
	Type string `json:"type"`
}

type Entity struct {
	Type   string `json:"type"`
	Offset int    `json:"offset"`
	Length int    `json:"length"`
	User   *User  `json:"user"`
}

type Message struct {
	ID         int64    `json:"message_id"`
	From       *User    `json:"from"`
	Chat       *Chat    `json:"chat"`
	SenderChat *Chat    `json:"sender_chat"`
	Text       string   `json:"text"`
	Entities   []Entity `json:"entities"`
	MigrateTo  int64    `json:"migrate_to_chat_id"`
}

type Callback struct {
	ID      string   `json:"id"`
	From    *User    `json:"from"`
	Message *Message `json:"message"`
	Data    string   `json:"data"`
}

type Update struct {
	ID       *int64    `json:"update_id"`
	Message  *Message  `json:"message"`
	Callback *Callback `json:"callback_query"`
}

// chat is where an update belongs; 0 when it is none of ours.
func (u *Update) chat() int64 {
	switch {
	case u.Message != nil && u.Message.Chat != nil:
		return u.Message.Chat.ID
	case u.Callback != nil && u.Callback.From != nil:
		if m := u.Callback.Message; m != nil && m.Chat != nil && m.Chat.ID != 0 {
			return m.Chat.ID
		}
		return u.Callback.From.ID
	}
	return 0
}

// ---- texts

// clip shortens a text to so many UTF-16 units.
func clip(s string, limit int) string {
	n := 0
	for i, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
		if n > limit {
			return s[:i] + "…"
		}
	}
	return s
}

func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return clip(strings.Join(strings.Fields(s), " "), limit)
}

// cut is the part of the text that an entity marks.
func cut(text string, e Entity) string {
	if bug("rune-entities") {
		letters := strings.Split(text, "")
		return strings.Join(letters[e.Offset:e.Offset+e.Length], "")
	}
	u := utf16.Encode([]rune(text))
	if e.Offset < 0 || e.Length <= 0 || e.Offset > len(u) || e.Length > len(u)-e.Offset {
		return ""
	}
	return string(utf16.Decode(u[e.Offset : e.Offset+e.Length]))
}

// discreet hides telephone numbers and addresses of e-mail, for whoever reads the list of jobs.
func discreet(m *Message) string {
	text := m.Text
	for _, e := range m.Entities {
		marked := cut(m.Text, e)
		if (e.Type == "phone_number" || e.Type == "email") && marked != "" {
			text = strings.ReplaceAll(text, marked, "[hidden]")
		}
	}
	return text
}

func number(s string) int {
	s = strings.TrimPrefix(s, "#")
	if len(s) == 0 || len(s) > 9 {
		return -1
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return -1
		}
	}
	n, _ := strconv.Atoi(s)
	return n
}

func newCode() string {
	n, err := rand.Int(rand.Reader, big.NewInt(9000))
	if err != nil {
		return "4711"
	}
	return strconv.FormatInt(n.Int64()+1000, 10)
}

// ---- the Bot API

type parcel struct {
	method  string
	payload map[string]any
}

type outbox struct {
	parcels []parcel
	lost    bool
}

type API struct {
	base   string
	client *http.Client

	mu    sync.Mutex
	boxes map[int64]*outbox
	moved map[int64]int64
	lost  map[int64]bool
}

func newAPI(base, token string) *API {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.Proxy = nil
	return &API{
		base:   strings.TrimRight(base, "/") + "/bot" + token + "/",
		client: &http.Client{Timeout: callTimeout, Transport: transport},
		boxes:  map[int64]*outbox{},
		moved:  map[int64]int64{},
		lost:   map[int64]bool{},
	}
}

type button struct {
	Text string `json:"text"`
	Data string `json:"callback_data"`
}

// say puts a message into the outbox of a chat.
func (a *API) say(chat int64, text string, buttons ...button) {
	payload := map[string]any{"chat_id": chat, "text": clip(text, maxText)}
	if len(buttons) > 0 {
		rows := [][]button{}
		for i := 0; i < len(buttons); i += 2 {
			rows = append(rows, buttons[i:min(i+2, len(buttons))])
		}
		payload["reply_markup"] = map[string]any{"inline_keyboard": rows}
	}
	a.put(chat, parcel{"sendMessage", payload})
}

func (a *API) put(chat int64, p parcel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	box := a.boxes[chat]
	if box == nil {
		if len(a.boxes) >= maxBacklog {
			log.Printf("too many chats wait: dropped %s to %d", p.method, chat)
			return
		}
		box = &outbox{}
		a.boxes[chat] = box
		go a.empty(chat, box)
	}
	if len(box.parcels) >= maxOutbox {
		log.Printf("outbox of %d is full: dropped %s", chat, p.method)
		return
	}
	box.parcels = append(box.parcels, p)
}

func (a *API) empty(chat int64, box *outbox) {
	for {
		a.mu.Lock()
		if len(box.parcels) == 0 {
			delete(a.boxes, chat)
			a.mu.Unlock()
			return
		}
		p := box.parcels[0]
		box.parcels = box.parcels[1:]
		sorry := a.lost[chat]
		a.mu.Unlock()
		if text, ok := p.payload["text"].(string); ok && sorry && p.method == "sendMessage" {
			p.payload["text"] = "(Something I had to tell you before was lost, sorry.)\n" + text
		}
		err := a.deliver(p.method, p.payload)
		if err != nil {
			log.Printf("%s to %d: %v", p.method, chat, err)
		}
		if p.method == "sendMessage" {
			a.mu.Lock()
			if err == nil {
				delete(a.lost, chat)
			} else if !errors.Is(err, errRefused) && len(a.lost) < maxPeople {
				a.lost[chat] = true
			}
			a.mu.Unlock()
		}
	}
}

var errRefused = errors.New("refused")

type answer struct {
	OK          bool   `json:"ok"`
	Code        int    `json:"error_code"`
	Description string `json:"description"`
	Parameters  struct {
		RetryAfter float64 `json:"retry_after"`
		MigrateTo  int64   `json:"migrate_to_chat_id"`
	} `json:"parameters"`
}

// deliver makes a call, as often as it takes and makes sense.
func (a *API) deliver(method string, payload map[string]any) error {
	tries, waits := 0, 0
	data, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	body := bytes.NewReader(data)
	for {
		if to := a.movedTo(payload["chat_id"]); to != 0 {
			payload["chat_id"] = to
			if data, err = json.Marshal(payload); err != nil {
				return err
			}
			body = bytes.NewReader(data)
		}
		if !bug("body-consumed") {
			body = bytes.NewReader(data)
		}
		req, err := http.NewRequest(http.MethodPost, a.base+method, body)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		got, err := a.once(req)
		switch {
		case err == nil && got.OK:
			return nil
		case err == nil && got.Parameters.MigrateTo != 0 && waits < 5:
			waits++
			if chat, ok := payload["chat_id"].(int64); ok && chat != got.Parameters.MigrateTo {
				a.move(chat, got.Parameters.MigrateTo)
				continue
			}
			return fmt.Errorf("%w: moved in a circle", errRefused)
		case err == nil && got.Code == http.StatusTooManyRequests:
			if waits++; waits > 6 || got.Parameters.RetryAfter > 300 {
				return errors.New("too many requests for too long")
			}
			pause := time.Duration(max(1, got.Parameters.RetryAfter)*1000) * time.Millisecond
			time.Sleep(pause + 150*time.Millisecond)
			continue
		case err == nil && got.Code >= 400 && got.Code < 500:
			return fmt.Errorf("%w: %d %s", errRefused, got.Code, clip(got.Description, 200))
		}
		if bug("retry-at-once") {
			if tries++; tries > 60 {
				return fmt.Errorf("given up: %v %+v", err, got)
			}
			continue
		}
		if tries == len(pauses) || (method == "answerCallbackQuery" && tries == 2) {
			return fmt.Errorf("given up: %v %d", err, got.Code)
		}
		time.Sleep(pauses[tries])
		tries++
	}
}

func (a *API) once(req *http.Request) (answer, error) {
	var got answer
	res, err := a.client.Do(req)
	if err != nil {
		return got, errors.New(strings.ReplaceAll(err.Error(), a.base, "…/"))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return got, err
	}
	err = json.Unmarshal(body, &got)
	if got.OK {
		return got, nil
	}
	if err != nil || got.Code == 0 {
		got = answer{Code: res.StatusCode}
	}
	if got.Code < 400 || got.Code >= 500 {
		return got, fmt.Errorf("status %d", got.Code)
	}
	return got, nil
}

// movedTo is where a chat is now; 0 when it never moved.
func (a *API) movedTo(chat any) int64 {
	id, _ := chat.(int64)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moved[id]
}

func (a *API) move(from, to int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.moved) < 1000 {
		a.moved[from] = to
	}
}

// ---- orders

type state string

const (
	open      state = "waiting for a courier"
	taken     state = "on the way"
	delivered state = "delivered"
	cancelled state = "cancelled"
)

type Order struct {
	ID       int
	Customer int64
	Chat     int64
	What     string
	From     string
	To       string
	State    state
	Courier  int64
	Code     string
	Misses   int
}

type Complaint struct {
	ID    int
	Order int
	By    int64
	Text  string
	Done  bool
}

type Draft struct {
	Step           string
	What, From, To string
	Order          int
	At             time.Time
}

type place struct{ chat, user int64 }

type Person struct {
	Name     string
	Username string
}

type Bot struct {
	api   *API
	admin int64

	mu         sync.Mutex
	orders     map[int]*Order
	complaints map[int]*Complaint
	drafts     map[place]*Draft
	people     map[int64]Person
	roles      map[int64]string
	desk       int64
	lastOrder  int
	lastWord   int
}

var rank = map[string]int{"": 0, "customer": 0, "dispatcher": 1, "admin": 2}

// needs says which rank a command asks for; what is not in it is everybody's.
var needs = map[string]int{"complaints": 1, "assign": 1, "desk": 1, "staff": 2, "role": 2}

const help = `I carry parcels across town.
/new - order a delivery, step by step
/orders - your orders
/order 12 - one of your orders, with its handover code
/cancel 12 - cancel your order
/complain 12 text - complain about an order of yours
/jobs - parcels that wait for a courier
/take 12 - deliver it
/handover 12 code - hand it over, with the code that the customer has
/pass 12 @somebody - pass your job to somebody else
/stop - forget what you were about to order
For dispatchers: /complaints, /assign 12 user, /desk (new orders are told in this group)
For the admin: /role user dispatcher|customer, /staff`

func (b *Bot) rank(user int64) int {
	if user == b.admin {
		return 2
	}
	return rank[b.roles[user]]
}

func (b *Bot) name(user int64) string {
	if p, ok := b.people[user]; ok && p.Name != "" {
		return p.Name
	}
	return fmt.Sprintf("user %d", user)
}

func (b *Bot) meet(u *User) {
	if _, known := b.people[u.ID]; !known && len(b.people) >= maxPeople {
		for id := range b.people {
			delete(b.people, id)
			break
		}
	}
	b.people[u.ID] = Person{clean(u.First, 40), strings.ToLower(clean(u.Username, 40))}
}

// who finds somebody by id, by @name, or by what the message marks as a mention.
func (b *Bot) who(m *Message, word string) int64 {
	for _, e := range m.Entities {
		if e.Type == "text_mention" && e.User != nil {
			return e.User.ID
		}
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil && n > 0 && n < 1<<52 {
		return n
	}
	if name, ok := strings.CutPrefix(strings.ToLower(word), "@"); ok && name != "" {
		for id, p := range b.people {
			if p.Username == name {
				return id
			}
		}
	}
	return 0
}

func (o *Order) line() string {
	return fmt.Sprintf("#%d %s: %s → %s (%s)", o.ID, clip(o.What, 60), clip(o.From, 40), clip(o.To, 40), o.State)
}

func sorted(orders map[int]*Order, keep func(*Order) bool) []*Order {
	var list []*Order
	for _, o := range orders {
		if keep(o) {
			list = append(list, o)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID > list[j].ID })
	return list[:min(len(list), 20)]
}

func (b *Bot) handle(u Update) {
	switch {
	case u.Callback != nil && u.Callback.From != nil:
		b.pressed(u.Callback)
	case u.Message != nil && u.Message.From != nil:
		b.said(u.Message)
	case u.Message != nil && u.Message.MigrateTo != 0:
		b.migrated(u.Message.Chat.ID, u.Message.MigrateTo)
	}
}

func (b *Bot) migrated(from, to int64) {
	b.api.move(from, to)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.desk == from {
		b.desk = to
	}
	for _, o := range b.orders {
		if o.Chat == from {
			o.Chat = to
		}
	}
}

func (b *Bot) said(m *Message) {
	if m.MigrateTo != 0 {
		b.migrated(m.Chat.ID, m.MigrateTo)
		return
	}
	if m.From.IsBot || m.From.ID == 0 || m.SenderChat != nil {
		if strings.HasPrefix(m.Text, "/") {
			b.api.say(m.Chat.ID, "I cannot see who you are. Please write as yourself.")
		}
		return
	}
	private := m.Chat.Type == "private" || m.Chat.ID > 0
	text := discreet(m)
	b.mu.Lock()
	b.meet(m.From)
	draft := b.drafts[place{m.Chat.ID, m.From.ID}]
	b.mu.Unlock()
	if m.Text == "" {
		if private {
			b.api.say(m.Chat.ID, "I only understand text. See /help.")
		}
		return
	}
	if !strings.HasPrefix(m.Text, "/") {
		if draft != nil {
			b.next(m, clean(text, 200))
		} else if private {
			b.api.say(m.Chat.ID, "See /help for what I can do.")
		}
		return
	}
	words := strings.Fields(m.Text)
	word, _, _ := strings.Cut(strings.TrimPrefix(words[0], "/"), "@")
	command, args := strings.ToLower(word), words[1:]

	b.mu.Lock()
	need := needs[command]
	if bug("gate-on-raw") {
		need = needs[strings.TrimPrefix(words[0], "/")]
	}
	allowed := b.rank(m.From.ID) >= need
	b.mu.Unlock()
	if !allowed {
		b.api.say(m.Chat.ID, "You may not do that.")
		return
	}
	switch command {
	case "start", "help":
		b.api.say(m.Chat.ID, help)
	case "new":
		b.begin(m)
	case "stop":
		b.mu.Lock()
		delete(b.drafts, place{m.Chat.ID, m.From.ID})
		b.mu.Unlock()
		b.api.say(m.Chat.ID, "Forgotten.")
	case "orders":
		b.mine(m)
	case "order":
		b.show(m, args)
	case "cancel":
		b.cancel(m, args)
	case "complain":
		b.complain(m, args, text)
	case "jobs":
		b.jobs(m)
	case "take":
		if len(args) != 1 {
			b.api.say(m.Chat.ID, "Usage: /take number")
			return
		}
		b.take(m.Chat.ID, m.From.ID, number(args[0]))
	case "handover":
		b.handover(m, args)
	case "pass":
		b.pass(m, args)
	case "complaints":
		b.listComplaints(m)
	case "assign":
		b.assign(m, args)
	case "desk":
		b.setDesk(m, private)
	case "role":
		b.setRole(m, args)
	case "staff":
		b.staff(m)
	default:
		if private {
			b.api.say(m.Chat.ID, "I do not know that command. See /help.")
		}
	}
}

// ---- ordering, step by step

func (b *Bot) begin(m *Message) {
	b.mu.Lock()
	for at, d := range b.drafts {
		if time.Since(d.At) > time.Hour || len(b.drafts) >= maxDrafts {
			delete(b.drafts, at)
		}
	}
	b.drafts[place{m.Chat.ID, m.From.ID}] = &Draft{Step: "what", At: time.Now()}
	b.mu.Unlock()
	b.api.say(m.Chat.ID, "What shall be delivered?")
}

func (b *Bot) next(m *Message, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.drafts[place{m.Chat.ID, m.From.ID}]
	switch {
	case d == nil:
	case text == "":
		b.api.say(m.Chat.ID, "That is empty. Once more, please.")
	case d.Step == "what":
		d.What, d.Step = text, "from"
		b.api.say(m.Chat.ID, "Where is it picked up?")
	case d.Step == "from":
		d.From, d.Step = text, "to"
		b.api.say(m.Chat.ID, "And where does it go?")
	case d.Step == "to":
		d.To, d.Step = text, "sure"
		owner := strconv.FormatInt(m.From.ID, 10)
		b.api.say(m.Chat.ID, fmt.Sprintf("%s\nfrom %s\nto %s\nAll right?", d.What, d.From, d.To),
			button{"Place order", "place:" + owner}, button{"Discard", "discard:" + owner})
	default:
		b.api.say(m.Chat.ID, "Press one of the buttons, or /stop.")
	}
}

func (b *Bot) placed(chat, user int64) string {
	d := b.drafts[place{chat, user}]
	if d == nil || d.Step != "sure" {
		return "There is nothing to place. Start with /new."
	}
	if len(b.orders) >= maxOrders {
		oldest := 0
		for id, o := range b.orders {
			if (o.State == delivered || o.State == cancelled) && (oldest == 0 || id < oldest) {
				oldest = id
			}
		}
		if oldest == 0 {
			return "We have more orders than couriers. Try again later."
		}
		delete(b.orders, oldest)
	}
	delete(b.drafts, place{chat, user})
	b.lastOrder++
	o := &Order{ID: b.lastOrder, Customer: user, Chat: chat, What: d.What, From: d.From, To: d.To, State: open, Code: newCode()}
	b.orders[o.ID] = o
	if b.desk != 0 && b.desk != chat {
		b.api.say(b.desk, "New order "+o.line(), button{fmt.Sprintf("Take #%d", o.ID), fmt.Sprintf("take:%d", o.ID)})
	}
	if chat == user {
		return fmt.Sprintf("Order #%d is placed. Give the courier the code %s when the parcel arrives.", o.ID, o.Code)
	}
	b.api.say(user, fmt.Sprintf("The code of your order #%d is %s.", o.ID, o.Code))
	return fmt.Sprintf("Order #%d is placed. I told %s the code privately.", o.ID, b.name(user))
}

func (b *Bot) mine(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := []string{}
	for _, o := range sorted(b.orders, func(o *Order) bool { return o.Customer == m.From.ID }) {
		lines = append(lines, o.line())
	}
	for _, o := range sorted(b.orders, func(o *Order) bool { return o.Courier == m.From.ID && o.State == taken }) {
		lines = append(lines, "You deliver "+o.line())
	}
	if len(lines) == 0 {
		lines = append(lines, "You have no orders. Start with /new.")
	}
	b.api.say(m.Chat.ID, strings.Join(lines, "\n"))
}

func (b *Bot) show(m *Message, args []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var o *Order
	if len(args) == 1 {
		o = b.orders[number(args[0])]
	}
	if o == nil || (o.Customer != m.From.ID && o.Courier != m.From.ID && b.rank(m.From.ID) < 1) {
		b.api.say(m.Chat.ID, "You have no such order. Usage: /order number")
		return
	}
	text := fmt.Sprintf("#%d %s\nfrom %s\nto %s\n%s", o.ID, o.What, o.From, o.To, o.State)
	if o.Courier != 0 {
		text += "\ncourier: " + b.name(o.Courier)
	}
	buttons := []button{}
	if o.Customer == m.From.ID {
		if m.Chat.ID == m.From.ID {
			text += "\ncode: " + o.Code
		}
		if o.State == open {
			buttons = append(buttons, button{"Cancel", fmt.Sprintf("cancel:%d", o.ID)})
		}
	}
	b.api.say(m.Chat.ID, text, buttons...)
}

func (b *Bot) cancel(m *Message, args []string) {
	if len(args) != 1 {
		b.api.say(m.Chat.ID, "Usage: /cancel number")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.orders[number(args[0])]
	if bug("cancel-any") {
		if o == nil || o.State == delivered || o.State == cancelled {
			b.api.say(m.Chat.ID, "There is no such order to cancel.")
			return
		}
		b.drop(o, m.From.ID)
		b.api.say(m.Chat.ID, fmt.Sprintf("Order #%d is cancelled.", o.ID))
		return
	}
	b.api.say(m.Chat.ID, b.cancelled(m.From.ID, o))
}

func (b *Bot) cancelled(user int64, o *Order) string {
	dispatcher := b.rank(user) >= 1
	switch {
	case o == nil || (o.Customer != user && !dispatcher):
		return "You have no such order."
	case o.State == taken && !dispatcher:
		return "It is on the way already. Ask a dispatcher."
	case o.State != open && o.State != taken:
		return fmt.Sprintf("Order #%d is %s.", o.ID, o.State)
	}
	b.drop(o, user)
	return fmt.Sprintf("Order #%d is cancelled.", o.ID)
}

func (b *Bot) drop(o *Order, by int64) {
	o.State = cancelled
	for _, id := range []int64{o.Customer, o.Courier} {
		if id != 0 && id != by {
			b.api.say(id, fmt.Sprintf("Order #%d was cancelled by %s.", o.ID, b.name(by)))
		}
	}
}

// ---- couriers

func (b *Bot) jobs(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines, buttons := []string{}, []button{}
	for _, o := range sorted(b.orders, func(o *Order) bool { return o.State == open }) {
		lines = append(lines, o.line())
		buttons = append(buttons, button{fmt.Sprintf("Take #%d", o.ID), fmt.Sprintf("take:%d", o.ID)})
	}
	if len(lines) == 0 {
		b.api.say(m.Chat.ID, "Nothing waits for a courier.")
		return
	}
	b.api.say(m.Chat.ID, strings.Join(lines, "\n"), buttons...)
}

func (b *Bot) take(chat, user int64, id int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.orders[id]
	if o == nil || o.State != open {
		b.api.say(chat, "That job is not to be had (any more).")
		return
	}
	if o.Customer == user {
		b.api.say(chat, "You cannot deliver your own parcel.")
		return
	}
	note := fmt.Sprintf("%s takes your order #%d.", b.name(user), o.ID)
	if bug("take-race") {
		b.mu.Unlock() // no lock while we are on the network
		if err := b.api.deliver("sendMessage", map[string]any{"chat_id": o.Customer, "text": note}); err != nil {
			log.Printf("customer of #%d: %v", o.ID, err)
		}
		b.mu.Lock()
	} else {
		b.api.say(o.Customer, note)
	}
	o.State, o.Courier = taken, user
	b.api.say(chat, fmt.Sprintf("Job #%d is yours: %s, from %s to %s. Then /handover %d code", o.ID, o.What, o.From, o.To, o.ID))
}

func (b *Bot) handover(m *Message, args []string) {
	if bug("lock-kept") {
		b.mu.Lock()
		o := b.orders[number(args[0])]
		text := b.handed(m.From.ID, o, args[1])
		b.mu.Unlock()
		b.api.say(m.Chat.ID, text)
		return
	}
	if len(args) != 2 {
		b.api.say(m.Chat.ID, "Usage: /handover number code")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.api.say(m.Chat.ID, b.handed(m.From.ID, b.orders[number(args[0])], args[1]))
}

func (b *Bot) handed(user int64, o *Order, code string) string {
	if o == nil || o.Courier != user || o.State != taken {
		return "You have no such job."
	}
	if o.Misses >= codeTries {
		return "Too many wrong codes. A dispatcher has to help."
	}
	if subtle.ConstantTimeCompare([]byte(code), []byte(o.Code)) != 1 {
		o.Misses++
		return fmt.Sprintf("Wrong code, %d tries left.", codeTries-o.Misses)
	}
	o.State = delivered
	b.api.say(o.Customer, fmt.Sprintf("Order #%d was delivered by %s.", o.ID, b.name(user)))
	return fmt.Sprintf("Order #%d is delivered. Thank you!", o.ID)
}

func (b *Bot) pass(m *Message, args []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(args) < 2 {
		b.api.say(m.Chat.ID, "Usage: /pass number user")
		return
	}
	o, to := b.orders[number(args[0])], b.who(m, args[1])
	if o == nil || o.Courier != m.From.ID || o.State != taken {
		b.api.say(m.Chat.ID, "You have no such job.")
		return
	}
	if to == 0 || to == m.From.ID || to == o.Customer {
		b.api.say(m.Chat.ID, "I cannot pass it to them.")
		return
	}
	o.Courier, o.Misses = to, 0
	b.api.say(to, fmt.Sprintf("%s passed you job #%d: %s, from %s to %s.", b.name(m.From.ID), o.ID, o.What, o.From, o.To))
	b.api.say(m.Chat.ID, fmt.Sprintf("Job #%d is passed to %s.", o.ID, b.name(to)))
}

// ---- complaints and the desk

func (b *Bot) complain(m *Message, args []string, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var o *Order
	if len(args) >= 2 {
		o = b.orders[number(args[0])]
	}
	if o == nil || o.Customer != m.From.ID {
		b.api.say(m.Chat.ID, "Usage: /complain number text, about an order of yours")
		return
	}
	if len(b.complaints) >= maxOrders {
		for id, c := range b.complaints {
			if c.Done || id <= b.lastWord-maxOrders {
				delete(b.complaints, id)
			}
		}
	}
	b.lastWord++
	parts := strings.SplitN(clean(text, 600), " ", 3)
	c := &Complaint{ID: b.lastWord, Order: o.ID, By: m.From.ID, Text: clip(parts[len(parts)-1], 300)}
	b.complaints[c.ID] = c
	to := b.admin
	if b.desk != 0 {
		to = b.desk
	}
	b.api.say(to, fmt.Sprintf("Complaint %d about #%d by %s: %s", c.ID, o.ID, b.name(c.By), c.Text),
		button{"Resolved", fmt.Sprintf("resolve:%d", c.ID)})
	b.api.say(m.Chat.ID, fmt.Sprintf("Complaint %d is noted. A dispatcher will see to it.", c.ID))
}

func (b *Bot) listComplaints(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := []int{}
	for id, c := range b.complaints {
		if !c.Done {
			ids = append(ids, id)
		}
	}
	sort.Ints(ids)
	lines, buttons := []string{"Open complaints:"}, []button{}
	for _, id := range ids[:min(len(ids), 10)] {
		c := b.complaints[id]
		lines = append(lines, fmt.Sprintf("%d, order #%d, %s: %s", c.ID, c.Order, b.name(c.By), c.Text))
		buttons = append(buttons, button{fmt.Sprintf("Resolved %d", c.ID), fmt.Sprintf("resolve:%d", c.ID)})
	}
	b.api.say(m.Chat.ID, strings.Join(lines, "\n"), buttons...)
}

func (b *Bot) assign(m *Message, args []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(args) < 2 {
		b.api.say(m.Chat.ID, "Usage: /assign number user")
		return
	}
	o, to := b.orders[number(args[0])], b.who(m, args[1])
	if o == nil || (o.State != open && o.State != taken) || to == 0 || to == o.Customer {
		b.api.say(m.Chat.ID, "That order cannot be assigned so.")
		return
	}
	o.State, o.Courier, o.Misses = taken, to, 0
	b.api.say(to, fmt.Sprintf("A dispatcher gave you job #%d: %s, from %s to %s.", o.ID, o.What, o.From, o.To))
	b.api.say(m.Chat.ID, fmt.Sprintf("Order #%d is assigned to %s.", o.ID, b.name(to)))
}

func (b *Bot) setDesk(m *Message, private bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if private {
		b.api.say(m.Chat.ID, "Say that in the dispatchers' group.")
		return
	}
	b.desk = m.Chat.ID
	b.api.say(m.Chat.ID, "New orders and complaints will be told here.")
}

func (b *Bot) setRole(m *Message, args []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(args) < 2 {
		b.api.say(m.Chat.ID, "Usage: /role user dispatcher|customer")
		return
	}
	who, role := b.who(m, args[0]), strings.ToLower(args[len(args)-1])
	if who == 0 || who == b.admin || (role != "dispatcher" && role != "customer") {
		b.api.say(m.Chat.ID, "Usage: /role user dispatcher|customer")
		return
	}
	if role == "customer" {
		delete(b.roles, who)
	} else if len(b.roles) < 500 {
		b.roles[who] = role
	}
	b.api.say(m.Chat.ID, fmt.Sprintf("%s is %s now.", b.name(who), role))
}

func (b *Bot) staff(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := []string{fmt.Sprintf("Staff: %d people known, %d orders", len(b.people), len(b.orders))}
	for id, role := range b.roles {
		lines = append(lines, fmt.Sprintf("%s (%d): %s", b.name(id), id, role))
	}
	sort.Strings(lines[1:])
	b.api.say(m.Chat.ID, strings.Join(lines, "\n"))
}

// ---- buttons

func (b *Bot) pressed(q *Callback) {
	user := q.From.ID
	chat := user
	if q.Message != nil && q.Message.Chat != nil && q.Message.Chat.ID != 0 {
		chat = q.Message.Chat.ID
	}
	b.mu.Lock()
	b.meet(q.From)
	b.mu.Unlock()
	what, rest, _ := strings.Cut(q.Data, ":")
	id := number(rest)
	hint := ""
	b.mu.Lock()
	switch what {
	case "place", "discard":
		if rest != strconv.FormatInt(user, 10) {
			hint = "That is somebody else's order."
		} else if what == "discard" {
			delete(b.drafts, place{chat, user})
			b.api.say(chat, "Forgotten.")
		} else {
			b.api.say(chat, b.placed(chat, user))
		}
	case "cancel":
		b.api.say(chat, b.cancelled(user, b.orders[id]))
	case "resolve":
		c := b.complaints[id]
		switch {
		case b.rank(user) < 1:
			hint = "That is for dispatchers."
		case c == nil || c.Done:
			hint = "That is settled already."
		default:
			c.Done = true
			b.api.say(c.By, fmt.Sprintf("Your complaint %d was settled by %s.", c.ID, b.name(user)))
			b.api.say(chat, fmt.Sprintf("Complaint %d is settled.", c.ID))
		}
	case "take":
	default:
		hint = "That button is out of use."
	}
	b.mu.Unlock()
	if what == "take" {
		b.take(chat, user, id)
	}
	payload := map[string]any{"callback_query_id": q.ID}
	if hint != "" {
		payload["text"] = hint
		payload["show_alert"] = true
	}
	b.api.put(user, parcel{"answerCallbackQuery", payload})
}

// ---- the webhook

type Hook struct {
	bot    *Bot
	secret string

	mu      sync.Mutex
	seen    map[int64]bool
	order   []int64
	last    int64
	boxes   map[int64][]Update
	waiting int
	pool    sync.Pool
}

// fresh notes an update as seen and says whether it was new.
func (h *Hook) fresh(id int64) bool {
	if bug("last-id-only") {
		if id == h.last {
			return false
		}
		h.last = id
		return true
	}
	if h.seen[id] {
		return false
	}
	h.seen[id] = true
	h.order = append(h.order, id)
	if len(h.order) > maxSeen {
		delete(h.seen, h.order[0])
		h.order = h.order[1:]
	}
	return true
}

func (h *Hook) accept(u Update) bool {
	chat := u.chat()
	if chat == 0 {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting >= maxBacklog || len(h.boxes[chat]) >= maxInbox {
		return false
	}
	if !h.fresh(*u.ID) {
		return true
	}
	box, busy := h.boxes[chat]
	h.boxes[chat] = append(box, u)
	h.waiting++
	if !busy {
		go h.work(chat)
	}
	return true
}

func (h *Hook) work(chat int64) {
	for {
		h.mu.Lock()
		box := h.boxes[chat]
		if len(box) == 0 {
			delete(h.boxes, chat)
			h.mu.Unlock()
			return
		}
		u := box[0]
		h.boxes[chat] = box[1:]
		h.waiting--
		h.mu.Unlock()
		h.safely(u)
	}
}

func (h *Hook) safely(u Update) {
	defer func() {
		if r := recover(); r != nil {
			log.Printf("panic at update %d: %v", *u.ID, r)
		}
	}()
	h.bot.handle(u)
}

func (h *Hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	given := r.Header.Get("X-Telegram-Bot-Api-Secret-Token")
	match := subtle.ConstantTimeCompare([]byte(given), []byte(h.secret)) == 1
	if bug("secret-optional") && given == "" {
		match = true
	}
	if !match {
		http.Error(w, "wrong secret", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			http.Error(w, "too big", http.StatusRequestEntityTooLarge)
		} else {
			http.Error(w, "half a body", http.StatusBadRequest)
		}
		return
	}
	u := h.pool.Get().(*Update)
	defer h.pool.Put(u)
	if !bug("pooled-update") {
		*u = Update{}
	}
	if err := json.Unmarshal(body, u); err != nil || u.ID == nil {
		http.Error(w, "no update", http.StatusBadRequest)
		return
	}
	if !h.accept(*u) {
		w.Header().Set("Retry-After", "2")
		http.Error(w, "busy", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func main() {
	admin, _ := strconv.ParseInt(env("ADMIN_ID", "0"), 10, 64)
	secret := os.Getenv("SECRET")
	if secret == "" {
		log.Fatal("SECRET is not set")
	}
	bot := &Bot{
		api:        newAPI(env("BOT_API", "https://api.telegram.org"), os.Getenv("BOT_TOKEN")),
		admin:      admin,
		orders:     map[int]*Order{},
		complaints: map[int]*Complaint{},
		drafts:     map[place]*Draft{},
		people:     map[int64]Person{},
		roles:      map[int64]string{},
	}
	hook := &Hook{bot: bot, secret: secret, seen: map[int64]bool{}, boxes: map[int64][]Update{}}
	hook.pool.New = func() any { return &Update{} }
	mux := http.NewServeMux()
	mux.Handle(env("WEBHOOK_PATH", "/webhook"), hook)
	server := &http.Server{
		Addr:              ":" + env("PORT", "8080"),
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      15 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    1 << 16,
	}
	log.Fatal(server.ListenAndServe())
}
