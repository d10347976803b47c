"""Abbreviations that the cleaners write out.

Owns: what is written out in English, French and Italian, and in which order.
Refuses to know: other languages; their texts stay as they are.

The models were trained with these lists, so they hold what Coqui's do and nothing more, mistakes included.
Source: TTS.tts.utils.text, english.abbreviations, french.abbreviations, italian.abbreviations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.engines.vits.front_end.traced import TracedText

_ENGLISH = """
mrs=misess mr=mister dr=doctor st=saint co=company jr=junior maj=major gen=general drs=doctors rev=reverend
lt=lieutenant hon=honorable sgt=sergeant capt=captain esq=esquire ltd=limited col=colonel ft=fort
"""
_FRENCH_NAMES = "Mlle=mademoiselle Mlles=mesdemoiselles Mme=Madame Mmes=Mesdames"
"""These also without a stop."""
_FRENCH = f"""
M=monsieur {_FRENCH_NAMES} N.B=nota_bene p.c.q=parce_que Pr=professeur qqch=quelque_chose rdv=rendez-vous
max=maximum min=minimum no=numéro adr=adresse dr=docteur st=saint co=companie jr=junior sgt=sergent
capt=capitain col=colonel av=avenue av._J.-C=avant_Jésus-Christ apr._J.-C=après_Jésus-Christ art=article
boul=boulevard c.-à-d=c’est-à-dire etc=et_cetera ex=exemple excl=exclusivement
"""
_ITALIAN = """
egr=egregio gent/mo=gentilissimo gent/ma=gentilissima ill/mo=illustrissimo ill/ma=illustrissima att=attenzione
c/a=cortese_attenzione sig~=signor sig/ra~=signora sig/na~=signorina sigg~=signori dott=dottore
dott/ssa=dottoressa prof=professore prof/ssa=professoressa ing=ingegnere arch=architetto avv=avvocato
geom=geometra rag=ragioniere comm=commercialista dott/comm=dottore_commercialista ecc=eccetera etc=eccetera
es=per_esempio p/es=per_esempio ad/es=ad_esempio cioe=cioè oss=ossia cfr=confronta vd=vedi vv=vedi fig=figura
tab=tabella eq=equazione sez=sezione sec=sezione cap=capitolo par=paragrafo app=appendice pagg=pagine
pag=pagina tel=telefono cell=cellulare int=interno n=numero nn=numeri nr=numero cod/fisc=codice_fiscale
c/f=codice_fiscale p/iva=partita_iva piva!=partita_iva u/s=ultimo_scorso p/v=prossimo_venturo
s/p/a=società_per_azioni s/r/l=società_a_responsabilità_limitata s/n/c=società_in_nome_collettivo
s/a/s=società_in_accomandita_semplice coop=cooperativa onlus!=organizzazione_non_lucrativa_di_utilità_sociale
gen=gennaio feb=febbraio mar=marzo
apr=aprile mag=maggio giu=giugno lug=luglio ago=agosto set=settembre ott=ottobre nov=novembre dic=dicembre
e-?mail!=email www=doppia_vu_doppia_vu_doppia_vu
"""
"""A stop and spaces may stand at a slash and a stop at the end; `!` allows none, `~` no letter's end needs to
follow."""
_ITALIAN_END = r"(?=\s|$|[,.;:)\]}!?])"
_ITALIAN_FIRST = r"\bspett\.?\s*(?:le\.?)?\b"


def _pairs(table: str) -> Iterator[tuple[str, str]]:
    for entry in table.split():
        short, _, words = entry.partition("=")
        yield short.replace("_", " "), words.replace("_", " ")


def _italian() -> Iterator[tuple[re.Pattern[str], str]]:
    yield re.compile(_ITALIAN_FIRST + _ITALIAN_END, re.IGNORECASE), "spettabile"
    for short, words in _pairs(_ITALIAN):
        end = {"!": r"\b", "~": r"\.?"}.get(short[-1], r"\.?\b")
        stem = short.rstrip("!~").replace("/", r"\.?\s*")
        yield re.compile(rf"\b{stem}{end}{_ITALIAN_END}", re.IGNORECASE), words


_RULES = {
    "en": [(re.compile(rf"\b{short}\.", re.IGNORECASE), words) for short, words in _pairs(_ENGLISH)],
    "fr": [
        *((re.compile(rf"\b{short}\.", re.IGNORECASE), words) for short, words in _pairs(_FRENCH)),
        *((re.compile(rf"\b{short}"), words) for short, words in _pairs(_FRENCH_NAMES)),
    ],
    "it": list(_italian()),
}


def write_out(text: TracedText, language: str | None) -> TracedText:
    """Return a text without the abbreviations of its language.

    Args:
        text: The text.
        language: Primary subtag; of others than en, fr and it nothing is written out.
    """
    for pattern, words in _RULES.get(language or "", ()):
        text = text.substitute(pattern, words)
    return text
