-- What a player says of itself (CMCD: CTA-5004, CTA-5004-A), a dictionary of structured fields (RFC 9651 §3.2):
-- read whole or not at all. A key that is not known is passed over, one with a value of the wrong type refuses
-- all of it.

local clear = require "table.clear"
local new = require "table.new"

local byte, find, gsub, sub = string.byte, string.find, string.gsub, string.sub
local re_find = ngx.re.find

local MAX_BYTES, MAX_ID, MAX_BITRATE, MAX_DIGITS, MAX_ITEMS = 4096, 128, 100000000, 15, 64

-- What values are.
local NUMBER, TEXT, TOKEN, FLAG, OTHER = 1, 2, 3, 4, 5

local KEYS = {
    v = NUMBER, bl = NUMBER, dl = NUMBER, mtp = NUMBER, br = NUMBER, tb = NUMBER, d = NUMBER, rtp = NUMBER,
    ts = NUMBER, msd = NUMBER, bsd = NUMBER, ltc = NUMBER,
    sid = TEXT, cid = TEXT, nor = TEXT, nrr = TEXT, ec = TEXT,
    ot = TOKEN, sf = TOKEN, st = TOKEN, sta = TOKEN, e = TOKEN,
    su = FLAG, bs = FLAG,
}
-- Those that may be lists: a number is the largest of its list then, a text the first.
local LISTS = {
    v = true, bl = true, dl = true, mtp = true, br = true, tb = true, d = true, rtp = true,
    ts = true, msd = true, bsd = true, ltc = true, nor = true, ec = true,
}

-- Bytes that stand in keys and tokens: 0 not at all, 1 behind the first, 2 anywhere.
local function classes(first, behind)
    local all = new(256, 1)
    for code = 0, 255 do
        all[code] = 0
    end
    for place = 1, #behind do
        all[byte(behind, place)] = 1
    end
    for place = 1, #first do
        all[byte(first, place)] = 2
    end
    return all
end
local LOWER, UPPER, DIGITS = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
local OF_KEY = classes(LOWER .. "*", DIGITS .. "_-.")
local OF_TOKEN = classes(LOWER .. UPPER .. "*", DIGITS .. "!#$%&'+-.^_`|~:/")

local SPACE, TAB, QUOTE, BACKSLASH, COMMA, EQUALS = 32, 9, 34, 92, 44, 61
local OPEN, CLOSE, SEMICOLON, QUESTION, MINUS, DOT, COLON, AT = 40, 41, 59, 63, 45, 46, 58, 64
local ZERO, NINE, ONE = 48, 57, 49

-- Behind what a key or token begins with; nothing where none begins.
local function word(text, at, class)
    if class[byte(text, at) or 0] ~= 2 then
        return nil
    end
    repeat
        at = at + 1
    until class[byte(text, at) or 0] == 0
    return at
end

-- A number without what is behind its dot. One below zero, which no key may have, is some number below zero.
local function number(text, at)
    local negative = byte(text, at) == MINUS
    if negative then
        at = at + 1
    end
    local from, value, code = at, 0, byte(text, at)
    while code and code >= ZERO and code <= NINE do
        value = value * 10 + (code - ZERO)
        at = at + 1
        code = byte(text, at)
    end
    local digits = at - from
    if digits == 0 or digits > MAX_DIGITS then
        return nil
    end
    if code == DOT then
        from = at + 1
        repeat
            at = at + 1
            code = byte(text, at)
        until not code or code < ZERO or code > NINE
        if digits > 12 or at == from or at - from > 3 then
            return nil
        end
    end
    return negative and -1 - value or value, NUMBER, at
end

local function quoted(text, at)
    local from, escaped = at + 1, false
    while true do
        at = at + 1
        local code = byte(text, at)
        if code == QUOTE then
            break
        elseif code == BACKSLASH then
            escaped = true
            at = at + 1
            code = byte(text, at)
            if code ~= QUOTE and code ~= BACKSLASH then
                return nil
            end
        elseif not code or code < 32 or code > 126 then
            return nil
        end
    end
    local value = sub(text, from, at - 1)
    if escaped then
        value = gsub(value, "\\(.)", "%1")
    end
    return value, TEXT, at + 1
end

-- An item without its parameters: its value, what it is, and what is behind it.
local function bare(text, at)
    local code = byte(text, at)
    if not code then
        return nil
    elseif code == MINUS or code >= ZERO and code <= NINE then
        return number(text, at)
    elseif code == QUOTE then
        return quoted(text, at)
    elseif code == QUESTION then
        code = byte(text, at + 1)
        if code ~= ZERO and code ~= ONE then
            return nil
        end
        return code == ONE, FLAG, at + 2
    elseif code == COLON then
        local close = find(text, ":", at + 1, true)
        if not close then
            return nil
        end
        return "", OTHER, close + 1
    elseif code == AT then
        local _, kind, behind = number(text, at + 1)
        return kind and "", OTHER, behind
    end
    local behind = word(text, at, OF_TOKEN)
    if not behind then
        return nil
    end
    return sub(text, at, behind - 1), TOKEN, behind
end

-- Behind parameters, which no key that is kept has a use for.
local function parameters(text, at)
    while byte(text, at) == SEMICOLON do
        repeat
            at = at + 1
        until byte(text, at) ~= SPACE
        at = word(text, at, OF_KEY)
        if not at then
            return nil
        end
        if byte(text, at) == EQUALS then
            local value
            value, _, at = bare(text, at + 1)
            if value == nil then
                return nil
            end
        end
    end
    return at
end

local function list(text, at)
    local best, kind
    at = at + 1
    for _ = 1, MAX_ITEMS + 1 do
        while byte(text, at) == SPACE do
            at = at + 1
        end
        if byte(text, at) == CLOSE then
            return best, kind, at + 1
        end
        local value, what
        value, what, at = bare(text, at)
        if value == nil or kind and what ~= kind then
            return nil
        end
        at = parameters(text, at)
        if not at then
            return nil
        end
        local code = byte(text, at)
        if code ~= SPACE and code ~= CLOSE then
            return nil
        end
        if what == NUMBER and value < 0 then
            return nil
        end
        if best == nil or what == NUMBER and value > best then
            best, kind = value, what
        end
    end
    return nil
end

-- One for all: nothing of a request is done in between.
local told = new(0, 32)

-- Keeps a value, if it is one that its key can have.
local function keep(key, value, kind)
    local known = KEYS[key]
    if not known then
        return true
    end
    if kind ~= known or kind == NUMBER and value < 0 then
        return false
    end
    if (key == "sid" or key == "cid") and #value > MAX_ID then
        return false
    end
    told[key] = value
    return true
end

-- What players of version 1 send: no blanks, no escapes, no decimals, no lists, no parameters. One pattern, compiled
-- once, is quicker than a loop over bytes; what is in it is taken apart where commas and quotes are.
local MEMBER = [[[a-z*][a-z0-9_.*-]*(?:=(?:[0-9]{1,15}|"[ !#-\[\]-~]*"|[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*))?]]
local PLAIN = "\\A" .. MEMBER .. "(?:," .. MEMBER .. ")*+\\z"

local function read_plain(text)
    local at = 1
    repeat
        local comma, equals = find(text, ",", at, true), find(text, "=", at, true)
        local good
        if equals and (not comma or equals < comma) then
            local key, code = sub(text, at, equals - 1), byte(text, equals + 1)
            if code == QUOTE then
                local close = find(text, '"', equals + 2, true)
                comma = find(text, ",", close, true)
                good = keep(key, sub(text, equals + 2, close - 1), TEXT)
            else
                local value = sub(text, equals + 1, comma and comma - 1 or -1)
                if code >= ZERO and code <= NINE then
                    good = keep(key, tonumber(value), NUMBER)
                else
                    good = keep(key, value, TOKEN)
                end
            end
        else
            good = keep(sub(text, at, comma and comma - 1 or -1), true, FLAG)
        end
        if not good then
            return nil
        end
        at = comma and comma + 1
    until not at
    return told
end

-- All of it, byte by byte.
local function read_any(text)
    local at, length = 1, #text
    while byte(text, at) == SPACE do
        at = at + 1
    end
    while at <= length do
        local behind = word(text, at, OF_KEY)
        if not behind then
            return nil
        end
        local key = sub(text, at, behind - 1)
        local value, kind = true, FLAG
        if byte(text, behind) ~= EQUALS then
            at = behind
        elseif byte(text, behind + 1) == OPEN then
            value, kind, at = list(text, behind + 1)
            if value == nil or KEYS[key] and not LISTS[key] then
                return nil
            end
        else
            value, kind, at = bare(text, behind + 1)
            if value == nil then
                return nil
            end
        end
        at = parameters(text, at)
        if not at then
            return nil
        end
        if not keep(key, value, kind) then
            return nil
        end
        local code = byte(text, at)
        while code == SPACE or code == TAB do
            at = at + 1
            code = byte(text, at)
        end
        if code then
            if code ~= COMMA then
                return nil
            end
            repeat
                at = at + 1
                code = byte(text, at)
            until code ~= SPACE and code ~= TAB
            -- A comma has a member after it.
            if not code then
                return nil
            end
        end
    end
    return told
end

local M = {}

-- What is told in a text that is decoded, until the next one is read; nothing where one byte does not fit.
function M.read(text)
    clear(told)
    if #text > MAX_BYTES then
        return nil
    end
    local all = (re_find(text, PLAIN, "jo") and read_plain or read_any)(text)
    local bitrate = all and all.br
    if bitrate and bitrate > MAX_BITRATE then
        all.br = nil
    end
    return all
end

return M
