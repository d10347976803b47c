// A short sentence of each language, for a voice to be heard with.
//
// Owns: the sentences.
// Refuses to know: voices. A language without a sentence gets today's date, which the browser writes in it.

const SENTENCES = {
  af: "Goeie môre! Hoe gaan dit vandag met jou?",
  ar: "صباح الخير! كيف حالك اليوم؟",
  az: "Sabahınız xeyir! Bu gün necəsiniz?",
  be: "Добрай раніцы! Як вашы справы сёння?",
  bg: "Добро утро! Как сте днес?",
  bn: "সুপ্রভাত! আজ আপনি কেমন আছেন?",
  bs: "Dobro jutro! Kako ste danas?",
  ca: "Bon dia! Com esteu avui?",
  cmn: "早上好！你今天好吗？",
  cs: "Dobré ráno! Jak se dnes máte?",
  cy: "Bore da! Sut ydych chi heddiw?",
  da: "Godmorgen! Hvordan har du det i dag?",
  de: "Guten Morgen! Wie geht es Ihnen heute?",
  el: "Καλημέρα! Τι κάνετε σήμερα;",
  en: "Good morning! How are you today?",
  eo: "Bonan matenon! Kiel vi fartas hodiaŭ?",
  es: "¡Buenos días! ¿Cómo está usted hoy?",
  et: "Tere hommikust! Kuidas teil täna läheb?",
  eu: "Egun on! Zer moduz zaude gaur?",
  fa: "صبح بخیر! امروز حال شما چطور است؟",
  fi: "Hyvää huomenta! Mitä teille kuuluu tänään?",
  fr: "Bonjour ! Comment allez-vous aujourd’hui ?",
  ga: "Maidin mhaith! Conas atá tú inniu?",
  gu: "સુપ્રભાત! આજે તમે કેમ છો?",
  he: "בוקר טוב! מה שלומך היום?",
  hi: "सुप्रभात! आज आप कैसे हैं?",
  hr: "Dobro jutro! Kako ste danas?",
  hu: "Jó reggelt! Hogy van ma?",
  hy: "Բարի լույս! Ինչպե՞ս եք այսօր։",
  id: "Selamat pagi! Apa kabar hari ini?",
  is: "Góðan daginn! Hvernig hefur þú það í dag?",
  it: "Buongiorno! Come sta oggi?",
  ja: "おはようございます。今日はお元気ですか。",
  ka: "დილა მშვიდობისა! როგორ ხართ დღეს?",
  ko: "안녕하세요! 오늘 기분이 어떠세요?",
  lt: "Labas rytas! Kaip šiandien laikotės?",
  lv: "Labrīt! Kā jums šodien klājas?",
  mk: "Добро утро! Како сте денес?",
  mr: "सुप्रभात! आज तुम्ही कसे आहात?",
  ms: "Selamat pagi! Apa khabar hari ini?",
  nb: "God morgen! Hvordan har du det i dag?",
  ne: "शुभ प्रभात! आज तपाईंलाई कस्तो छ?",
  nl: "Goedemorgen! Hoe gaat het vandaag met u?",
  pl: "Dzień dobry! Jak się Państwo dziś miewają?",
  pt: "Bom dia! Como está hoje?",
  ro: "Bună dimineața! Ce mai faceți astăzi?",
  ru: "Доброе утро! Как у вас сегодня дела?",
  sk: "Dobré ráno! Ako sa dnes máte?",
  sl: "Dobro jutro! Kako ste danes?",
  sq: "Mirëmëngjes! Si jeni sot?",
  sr: "Добро јутро! Како сте данас?",
  sv: "God morgon! Hur mår du i dag?",
  sw: "Habari za asubuhi! Hujambo leo?",
  ta: "காலை வணக்கம்! இன்று எப்படி இருக்கிறீர்கள்?",
  te: "శుభోదయం! ఈ రోజు మీరు ఎలా ఉన్నారు?",
  th: "สวัสดีตอนเช้า วันนี้คุณเป็นอย่างไรบ้าง",
  tr: "Günaydın! Bugün nasılsınız?",
  uk: "Доброго ранку! Як ваші справи сьогодні?",
  ur: "صبح بخیر! آج آپ کیسے ہیں؟",
  vi: "Chào buổi sáng! Hôm nay bạn có khỏe không?",
  yue: "早晨！你今日好嗎？",
};

/** A sentence in a language, by the first part of its tag, as in "pl". */
export function sampleOf(language) {
  if (SENTENCES[language]) return SENTENCES[language];
  try {
    return new Date().toLocaleDateString(language, { dateStyle: "full" });
  } catch {
    return SENTENCES.en; // not a well-formed tag
  }
}
